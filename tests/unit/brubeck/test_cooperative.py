"""Importing does nothing one did not ask for: what patches the process, and what does not."""

import ast

import pytest

from tests.needs import ROOT
from tests.unit.brubeck.programs import output_of

PURE = ["mongrel2", "request", "response", "routing", "cookies", "forms", "errors"]
"""Bytes to values and back."""

WITHOUT_AN_EVENT_LOOP = [*PURE, "handlers", "web_handlers", "templating", "environment", "logs"]

WITH_AN_EVENT_LOOP = [
    "application",
    "connection",
    "deadlines",
    "health",
    "in_hand",
    "mongrel2_connection",
    "sockets",
]

IMPURE = {"zmq", "gevent", "time", "random", "secrets", "logging", "socket", "threading"}


def imports_of(module: str) -> set[str]:
    """The packages a module names in its import lines."""
    tree = ast.parse((ROOT / "brubeck" / f"{module}.py").read_text())
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("module", PURE)
def test_a_pure_module_knows_no_socket_no_loop_no_clock_no_chance_and_no_log(module: str) -> None:
    assert not imports_of(module) & IMPURE


def test_locks_of_logging_are_pythons_own_before_and_after() -> None:
    program = """
import logging
before = logging.StreamHandler()
import brubeck.cooperative
after = logging.StreamHandler()
print({type(lock).__module__ for lock in (before.lock, after.lock, logging._lock)})
"""
    assert output_of(program).strip() == "{'_thread'}"


def test_importing_what_needs_no_event_loop_brings_none_and_no_socket() -> None:
    modules = ", ".join(f"brubeck.{name}" for name in WITHOUT_AN_EVENT_LOOP)
    program = f"import sys, {modules}; print(*{{'zmq', 'gevent'}} & set(sys.modules))"
    assert output_of(program).strip() == ""


SPECIAL = ["select", "socket", "threading", "time"]

PATCHED = f"""
import {{modules}}
from gevent import monkey
print(*(name for name in {SPECIAL} if monkey.is_module_patched(name)))
"""


def test_importing_what_needs_an_event_loop_patches_nothing() -> None:
    modules = ", ".join(f"brubeck.{name}" for name in WITH_AN_EVENT_LOOP)
    assert output_of(PATCHED.format(modules=modules)).strip() == ""


@pytest.mark.parametrize("module", ["brubeck.connections", "brubeck.request_handling"])
def test_importing_what_brubecks_users_import_makes_the_process_cooperative(module: str) -> None:
    assert output_of(PATCHED.format(modules=module)).split() == SPECIAL


@pytest.mark.parametrize("module", ["brubeck.connections", "brubeck.request_handling"])
def test_importing_sets_up_no_logging(module: str) -> None:
    program = f"import {module}, logging; print(logging.getLogger().handlers)"
    assert output_of(program) == "[]\n"
