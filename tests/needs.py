"""What a machine must have for a test. In CI a missing thing is a failure; at home, a skip."""

import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def need(there: object, what: str) -> None:
    """Skip the test without `what`, or fail it where `CI` is set."""
    if there:
        return
    message = f"{what} is missing: `scripts/prepare-machine --test-tools` installs it"
    if os.environ.get("CI"):
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


def program(name: str) -> str | None:
    """The path of a program, found where distributions put it even when PATH does not say so."""
    return shutil.which(name) or shutil.which(name, path="/usr/local/bin:/usr/bin:/usr/sbin")
