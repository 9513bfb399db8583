"""Small programs in a process of their own: for what an import or a start changes."""

import subprocess
import sys

from tests.needs import ROOT


def output_of(program: str) -> str:
    """What a Python program prints.

    Raises:
        AssertionError: if it fails, with what it said.
    """
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout
