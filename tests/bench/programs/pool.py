"""Connections that greenlets share, one at a time each."""

from collections.abc import Callable
from typing import Generic, TypeVar

from gevent.queue import LifoQueue

T = TypeVar("T")
R = TypeVar("R")


class Pool(Generic[T]):
    """At most 64 connections, each made when the ones before it are all in use."""

    def __init__(self, connect: Callable[[], T]) -> None:
        self._connect = connect
        self._idle: LifoQueue[T | None] = LifoQueue()
        for _ in range(64):
            self._idle.put(None)

    def use(self, work: Callable[[T], R]) -> R:
        """What `work` returns, given a connection; one it fails on is not used again."""
        connection = self._idle.get()
        try:
            connection = self._connect() if connection is None else connection
            result = work(connection)
        except BaseException:
            self._idle.put(None)
            raise
        self._idle.put(connection)
        return result
