"""The project as a package: what an installation has, and that two builds of it are the same."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from brubeck import __version__
from tests.needs import ROOT

PACKAGES = ("brubeck", "brubeckservice")
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT: dict[str, Any] = PYPROJECT["project"]

DESCRIBE = """\
import json
from importlib.metadata import distribution
found = distribution("brubeck-services")
print(json.dumps({"files": [str(file) for file in found.files]} | found.metadata.json))
"""

USE = """\
from brubeck.connections import WSGIConnection
from brubeck.request_handling import Brubeck, WebMessageHandler
from brubeck.templating import Jinja2Rendering, load_jinja2_env
from brubeckservice.base import ServiceClientMixin, ServiceConnection, ServiceMessageHandler

app = Brubeck(WSGIConnection(6767), request_timeout=2.5)
"""


def run(command: Sequence[str | Path], folder: Path, **environment: str) -> str:
    """What a command prints.

    Raises:
        AssertionError: if it fails, with what it said.
    """
    result = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result.stdout


def package_files() -> set[str]:
    """The files of the packages."""
    return {
        file.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for file in (ROOT / package).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }


# Building


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment of its own."""
    folder = tmp_path_factory.mktemp("environment")
    run([sys.executable, "-m", "venv", folder], folder)
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def build_tools(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the project says it is built by."""
    folder = tmp_path_factory.mktemp("tools")
    install = [str(python), "-m", "pip", "install", "--quiet", "--target", str(folder)]
    try:
        run([*install, *PYPROJECT["build-system"]["requires"]], folder)
    except AssertionError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"pip reaches no registry: {error}")
    return folder


def copy_of_the_project(folder: Path) -> Path:
    """The project as somebody gets it now; of what is no package, a little."""
    for name in (*PACKAGES, "tests/unit"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored, copy_function=shutil.copyfile)
    for name in ("pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", ".gitignore"):
        shutil.copyfile(ROOT / name, folder / name)
    return folder


def build(kind: str, project: Path, build_tools: Path, target: Path) -> Path:
    """The `wheel` or the `sdist` of a project."""
    backend = PYPROJECT["build-system"]["build-backend"]
    program = f"import {backend} as backend; print(backend.build_{kind}({str(target)!r}))"
    environment = {"PYTHONPATH": str(build_tools), "SOURCE_DATE_EPOCH": "1700000000"}
    printed = run([sys.executable, "-c", program], project, **environment)
    return target / printed.splitlines()[-1]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project."""
    return copy_of_the_project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def sdist(project: Path, build_tools: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist of the project."""
    return build("sdist", project, build_tools, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(project: Path, build_tools: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the project."""
    return build("wheel", project, build_tools, tmp_path_factory.mktemp("wheel"))


def test_a_wheel_holds_the_packages_their_types_and_the_license(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())
    about = f"brubeck_services-{__version__}.dist-info"
    assert {name for name in names if not name.startswith(about)} == package_files()
    assert {f"{package}/py.typed" for package in PACKAGES} <= names
    assert f"{about}/licenses/LICENSE" in names


def test_an_sdist_holds_what_a_wheel_is_made_of_and_nothing_else(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {member.name.partition("/")[2] for member in archive.getmembers()}
    documents = {"README.md", "CHANGELOG.md", "LICENSE"}
    of_the_build = {"pyproject.toml", "PKG-INFO", ".gitignore"}
    assert names == package_files() | documents | of_the_build


def test_an_sdist_makes_the_same_wheel(
    sdist: Path, wheel: Path, build_tools: Path, tmp_path: Path
) -> None:
    run(["tar", "-xf", sdist], tmp_path)
    unpacked = tmp_path / sdist.name.removesuffix(".tar.gz")
    assert build("wheel", unpacked, build_tools, tmp_path).read_bytes() == wheel.read_bytes()


@pytest.mark.parametrize("kind", ["sdist", "wheel"])
def test_two_builds_are_the_same_to_the_byte(
    kind: str, build_tools: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    # Given a copy elsewhere, of another time, for its owner's eyes only
    before = os.umask(0o077)
    try:
        another = copy_of_the_project(tmp_path / "another")
    finally:
        os.umask(before)
    # When
    built = build(kind, another, build_tools, tmp_path)
    # Then
    first: Path = request.getfixturevalue(kind)
    assert built.name == first.name
    assert built.read_bytes() == first.read_bytes()


# Installing


@pytest.fixture(scope="module")
def installed(python: Path, build_tools: Path) -> Path:
    """The Python of an environment where somebody said `pip install .`, and nothing else."""
    assert build_tools.exists(), "a registry can be reached"
    run([python, "-m", "pip", "install", "--quiet", "."], ROOT)
    return python


def test_an_installation_can_be_used_and_describes_itself(installed: Path, tmp_path: Path) -> None:
    run([installed, "-I", "-c", USE], tmp_path)
    run([installed, "-m", "pip", "check"], tmp_path)

    described = json.loads(run([installed, "-I", "-c", DESCRIBE], tmp_path))
    assert package_files() <= set(described["files"])
    assert described["name"] == "brubeck-services"
    assert described["version"] == __version__
    assert described["requires_python"] == ">=3.11"
    assert described["license_expression"] == "MIT"
    extra = PROJECT["optional-dependencies"]["tracing"]
    assert len(described["requires_dist"]) == len(PROJECT["dependencies"]) + len(extra)
    assert described["provides_extra"] == ["tracing"]
    assert described["description"] == (ROOT / "README.md").read_text()


def test_traces_without_their_packages_end_the_start_with_one_sentence(
    installed: Path, tmp_path: Path
) -> None:
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}
    sentence = (
        "OTEL_EXPORTER_OTLP_ENDPOINT is set, but opentelemetry is not installed: "
        "it comes with the extra `tracing`"
    )
    with pytest.raises(AssertionError) as said:
        run([installed, "-I", "-c", USE + "app.run()"], tmp_path, **endpoint)
    assert sentence in str(said.value)


def test_an_installation_brings_its_types(installed: Path, tmp_path: Path) -> None:
    mistaken = USE.replace("2.5", "'soon'")
    (tmp_path / "program.py").write_text(mistaken)
    mypy = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(installed)]
    with pytest.raises(AssertionError) as said:
        run([*mypy, "program.py"], tmp_path)
    assert 'Argument "request_timeout" to "Brubeck" has incompatible type "str"' in str(said.value)
    assert "Found 1 error" in str(said.value)
