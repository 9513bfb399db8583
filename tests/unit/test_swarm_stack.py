"""`deploy/swarm/stack rotate` without a Swarm: a `docker` of ours notes what it is told."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.needs import ROOT

DOCKER = """#!/bin/sh
case "$*" in
    *--secret-add*)
        eval "service=\\${$#}"
        echo "$*" | sed "s/.*source=\\([^,]*\\),.*/$service \\1/" >>"$HOME/updates" ;;
    "compose config") echo "name: it" ;;
    "service inspect"*.Secrets*) echo "/run/secrets/service_passphrase old_of_$3" ;;
    "service inspect"*) echo an_image ;;
    "ps "*) echo a_container ;;
    "exec "*) echo "an old passphrase" ;;
    "secret create"*) cat >"$HOME/$5" ;;
esac
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where our `docker` is and keeps its notes."""
    (tmp_path / "docker").write_text(DOCKER)
    (tmp_path / "docker").chmod(0o755)
    return tmp_path


def rotate(home: Path, **environment: str) -> list[tuple[str, int]]:
    """Each update of a service, in turn, with the number of passphrases that it was given."""
    subprocess.run(
        [ROOT / "deploy/swarm/stack", "rotate"],
        env={"PATH": f"{home}:{os.environ['PATH']}", "HOME": str(home)} | environment,
        check=True,
        capture_output=True,
        timeout=30,
    )
    updates = map(str.split, (home / "updates").read_text().splitlines())
    return [(name, len((home / secret).read_text().splitlines())) for name, secret in updates]


def test_callers_know_both_passphrases_while_the_service_is_given_the_new_one(home: Path) -> None:
    assert rotate(home) == [("it_client-app", 2), ("it_slow-service", 1), ("it_client-app", 1)]


def test_services_and_callers_of_ones_own_take_part(home: Path) -> None:
    updates = rotate(home, SERVICES="slow-service primes", CALLERS="client-app reports")

    assert updates == [
        ("it_client-app", 3),
        ("it_reports", 3),
        ("it_slow-service", 1),
        ("it_primes", 1),
        ("it_client-app", 1),
        ("it_reports", 1),
    ]
