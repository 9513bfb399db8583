"""The tutorial's service in a Swarm: `stack` takes the files that the page on deployment names."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.containers import docker_answers
from tests.needs import ROOT, need
from tests.pages import blocks, files

TUTORIAL = ROOT / "docs/tutorial.md"
DEPLOYMENT = ROOT / "docs/deployment.md"


@pytest.fixture
def services(tmp_path: Path) -> dict[str, Any]:
    """Those of the stack that a reader of both pages deploys."""
    need(docker_answers(), "a Docker engine with Compose")
    name = "swarm.override.yaml"
    shown = files(blocks(TUTORIAL)) | {name: files(blocks(DEPLOYMENT))[name]}
    for path, text in shown.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    shutil.copy(ROOT / "compose.yaml", tmp_path)
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    [taken] = re.findall(r"^\$ export COMPOSE_FILE=(\S+)$", DEPLOYMENT.read_text(), re.MULTILINE)

    config = subprocess.run(
        [tmp_path / "deploy/swarm/stack", "config"],
        env=os.environ | {"COMPOSE_FILE": taken, "REGISTRY": "registry.example.org", "TAG": ""},
        capture_output=True,
        check=True,
        timeout=60,
    )
    found: dict[str, Any] = json.loads(config.stdout)["services"]
    return found


def test_it_is_deployed_like_the_slow_service_but_for_its_image(services: dict[str, Any]) -> None:
    own, slow = services["primes"], services["slow-service"]

    assert own.pop("image") == "registry.example.org/primes/service:latest"
    assert services["client-app"]["image"] == "registry.example.org/primes/web:latest"
    assert own.pop("environment").items() >= slow.pop("environment").items()
    assert slow.pop("image")
    assert own == slow
