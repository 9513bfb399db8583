"""The CURVE keys a passphrase stands for.

Both sides derive both key pairs, the service's and the caller's, so that two arguments give
mutual authentication and encryption while the passphrase never travels. scrypt (RFC 7914)
makes guessing dear.
"""

import functools
import hashlib
from typing import NamedTuple

import zmq
from zmq.utils import z85

CURVE_BYTES = 33
"""What encryption adds to a frame (CurveZMQ, ZeroMQ RFC 26), before ZeroMQ looks at its length."""


class KeyPair(NamedTuple):
    """A CURVE key pair, Z85-encoded (ZeroMQ RFC 32)."""

    public: bytes
    secret: bytes

    def __repr__(self) -> str:
        return "KeyPair(***)"


class Keys(NamedTuple):
    """The key pairs of both ends."""

    service: KeyPair
    caller: KeyPair


@functools.lru_cache(maxsize=16)
def derive_keys(passphrase: str) -> Keys:
    """The keys of a passphrase; takes about 0.15 s the first time."""
    return Keys(service=_pair(passphrase, b"service"), caller=_pair(passphrase, b"caller"))


def _pair(passphrase: str, role: bytes) -> KeyPair:
    salt = b"brubeck-services/1/" + role
    seed = hashlib.scrypt(passphrase.encode(), salt=salt, n=2**14, r=8, p=1, dklen=32)
    secret = z85.encode(seed)
    return KeyPair(public=zmq.curve_public(secret), secret=secret)
