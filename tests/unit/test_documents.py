"""README and docs say what is so.

What they show of the repository (its tree, its links, its settings, its errors, the functions on a
request's way) is compared with it, and the README's programs run and print what it says.
"""

import ast
import inspect
import itertools
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from inspect import Parameter, Signature
from pathlib import Path

import pytest

from brubeck.application import Brubeck
from brubeck.environment import PUBLISHED_SECRETS
from brubeck.mongrel2_connection import Mongrel2Connection
from brubeck.wsgi_connection import WSGIConnection
from brubeckservice.errors import ServiceError
from brubeckservice.service_connection import ServiceConnection
from tests.integration.programs import python_program
from tests.needs import ROOT
from tests.ports import free_port

README = ROOT / "README.md"
CONFIGURATION = ROOT / "docs/configuration.md"
LIFECYCLE = ROOT / "docs/lifecycle.md"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
APPS = {"client-app": ROOT / "client-app", "slow-service": ROOT / "slow-service"}

every_document = pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT))
)


# Reading Markdown


def code_blocks(document: Path, language: str) -> list[str]:
    """The text of each fenced block of a language."""
    return re.findall(
        rf"^```{language}\n(.*?)^```$", document.read_text(), re.DOTALL | re.MULTILINE
    )


def prose(document: Path) -> str:
    """The text without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", document.read_text(), flags=re.DOTALL | re.MULTILINE)


def table(document: Path, *columns: str) -> list[dict[str, str]]:
    """The rows of the table that has exactly these columns; code marks are left out."""
    lines = document.read_text().splitlines()
    start = lines.index(f"| {' | '.join(columns)} |")
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        cells = [cell.strip().replace("`", "") for cell in line.strip("|").split("|")]
        rows.append(dict(zip(columns, cells, strict=True)))
    return rows


def anchors(document: Path) -> set[str]:
    """What a link may name behind `#`: the headings, as GitHub writes them."""
    headings = re.findall(r"^#+ (.+)$", prose(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


# Reading the repository


def is_ignored(name: str) -> bool:
    """Whether Git leaves out what has this name."""
    patterns = (ROOT / ".gitignore").read_text().split()
    return any(fnmatch(name, pattern.strip("/")) for pattern in patterns)


def defined_names(source: Path) -> set[str]:
    """The classes and functions of a Python file, methods as `Class.method`; else all its words."""
    if source.suffix != ".py":
        return set(re.findall(r"\w+", source.read_text()))
    definitions = (ast.ClassDef, ast.FunctionDef)
    names = set()
    for node in ast.parse(source.read_text()).body:
        if isinstance(node, definitions):
            names.add(node.name)
            members = node.body if isinstance(node, ast.ClassDef) else []
            names |= {f"{node.name}.{m.name}" for m in members if isinstance(m, definitions)}
    return names


def settings_of_app(folder: Path) -> dict[str, str]:
    """The variables a program reads through `environment`, with the program's own defaults."""
    settings = {}
    sources = [ast.parse(source.read_text()) for source in sorted(folder.glob("*.py"))]
    for node in itertools.chain.from_iterable(map(ast.walk, sources)):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="environment")),
                args=[ast.Constant(value=str(name)), *defaults],
            ):
                default = ast.literal_eval(defaults[0]) if defaults else "required"
                settings[name] = f"{default:g}" if isinstance(default, float) else str(default)
    return settings


def settings_of_deployment() -> dict[str, dict[str, str]]:
    """The variables `compose.yaml` gives each service, with the deployment's defaults."""
    settings: dict[str, dict[str, str]] = {}
    service = ""
    for line in (ROOT / "compose.yaml").read_text().splitlines():
        if heading := re.fullmatch(r"  ([\w-]+):", line):
            service = heading[1]
        elif variable := re.match(r"      (\w+): \$\{\1:-(.*?)\}", line):
            settings.setdefault(service, {})[variable[1]] = variable[2]
    return settings


def signature(connection: type) -> str:
    """How a connection is made: its arguments, without their types."""
    made = inspect.signature(connection)
    bare = [parameter.replace(annotation=Parameter.empty) for parameter in made.parameters.values()]
    return str(made.replace(parameters=bare, return_annotation=Signature.empty))


# All documents


@every_document
def test_every_link_and_picture_leads_somewhere(document: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(document)):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        assert not anchor or anchor in anchors(target), link


@every_document
def test_every_script_named_can_be_run(document: Path) -> None:
    for name in re.findall(r"(?<![\w/-])(?:scripts|\.ci)/[\w-]+", document.read_text()):
        assert os.access(ROOT / name, os.X_OK), name


@every_document
def test_every_python_block_compiles(document: Path) -> None:
    for block in code_blocks(document, "python"):
        compile(block, str(document), "exec")


# README.md


def test_the_readme_shows_the_top_level_of_the_repository() -> None:
    [tree] = code_blocks(README, "text")
    there = {
        path.name + "/" * path.is_dir()
        for path in ROOT.iterdir()
        if not path.name.startswith(".") and not is_ignored(path.name)
    }

    assert {line.split()[0] for line in tree.splitlines()} == there


def test_the_readmes_screenshots_are_those_that_the_tests_take() -> None:
    shown = set(re.findall(r"\(docs/([\w-]+\.png)\)", README.read_text()))
    taken = re.findall(r'PICTURES / "([^"]+)"', (ROOT / "tests/e2e/test_live.py").read_text())

    assert shown == set(taken)
    assert shown == {path.name for path in (ROOT / "docs").glob("*.png")}


def test_the_readme_names_every_way_a_call_can_fail() -> None:
    shown = {
        (row["Error"], int(row["Status"]), row["May have run"] == "yes")
        for row in table(README, "Error", "Status", "May have run", "When")
    }

    assert shown == {
        (error.__name__, error.status_code, error.may_have_run)
        for error in ServiceError.__subclasses__()
    }


def test_the_readmes_service_and_caller_run_and_print_what_it_says(tmp_path: Path) -> None:
    service, caller = code_blocks(README, "python")
    [session] = [block for block in code_blocks(README, "console") if "caller.py" in block]
    command, printed = session.split("\n", 1)
    port = free_port()
    for program in (service, caller):
        name = program.split("\n", 1)[0].removeprefix("# ")
        (tmp_path / name).write_text(program.replace(":9000", f":{port}"))

    with python_program(tmp_path / "service.py", tmp_path) as running:
        running.wait_until_it_says("listens at")
        call = python_program(tmp_path / "caller.py", tmp_path)
        answer = subprocess.run(
            call.command,
            check=False,
            env=call.environment,
            capture_output=True,
            text=True,
            timeout=30,
        )

    assert command == "$ python caller.py"
    assert answer.stdout == printed, answer.stderr


def test_the_readmes_service_has_at_most_twenty_lines() -> None:
    service, _ = code_blocks(README, "python")

    assert len([line for line in service.splitlines() if line.strip()]) <= 20


# docs/lifecycle.md


def test_every_function_on_the_way_of_a_request_is_where_the_page_says() -> None:
    named = re.findall(r"`([\w.]+)`\s+in\s+\[([^\]]+)\]\(\.\./([^)]+)\)", LIFECYCLE.read_text())

    assert named
    for name, shown, path in named:
        assert shown == path
        assert name in defined_names(ROOT / path), f"{name} in {path}"


def test_the_way_of_a_request_has_a_function_and_a_file_at_each_step() -> None:
    steps = re.findall(r"^(\d+)\. (`[\w.]+`\s+in\s+\[)?", LIFECYCLE.read_text(), re.MULTILINE)

    assert [int(number) for number, _ in steps] == list(range(1, len(steps) + 1))
    assert all(function for _, function in steps)


# docs/configuration.md

VARIABLES = table(CONFIGURATION, "Variable", "Container", "Deployment", "Program", "Meaning")
WRONG_VALUES = table(CONFIGURATION, "Setting", "What the program says")


def shown_settings(column: str) -> dict[str, dict[str, str]]:
    """The variables of each container, with a column of the table as their values."""
    return {
        app: {
            row["Variable"]: row[column]
            for row in VARIABLES
            if row["Container"] in (app, "both") and row[column] != "not set"
        }
        for app in APPS
    }


def test_the_page_has_every_variable_the_programs_read_with_its_default() -> None:
    assert shown_settings("Program") == {app: settings_of_app(APPS[app]) for app in APPS}


def test_the_page_has_every_variable_the_deployment_sets_with_its_default() -> None:
    assert shown_settings("Deployment") == settings_of_deployment()


def test_the_page_has_every_other_variable_of_the_deployment_with_its_default() -> None:
    text = re.sub("#.*", "", (ROOT / "compose.yaml").read_text())
    used = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", text))
    shown = {
        row["Variable"]: row["Default"]
        for row in table(CONFIGURATION, "Variable", "Default", "Meaning")
    }

    assert shown == {
        name: default
        for name, default in used.items()
        if name not in {row["Variable"] for row in VARIABLES}
    }


@pytest.fixture
def good_environment(tmp_path: Path) -> dict[str, str]:
    """Settings with which both programs would start, and files for bad ones in the work folder."""
    (tmp_path / "good").write_text("only for this test, and long enough")
    (tmp_path / "short").write_text("short")
    (tmp_path / "published").write_text(next(iter(PUBLISHED_SECRETS)))
    addresses = (
        "MONGREL2_PULL_ADDR",
        "MONGREL2_PUB_ADDR",
        "SLOW_SERVICE_ADDR",
        "SERVICE_BIND_ADDR",
    )
    secrets = ("SERVICE_PASSPHRASE_FILE", "COOKIE_SECRET_FILE")
    return dict.fromkeys(addresses, "ipc://nobody") | dict.fromkeys(secrets, "good")


@pytest.fixture
def started(
    tmp_path: Path, good_environment: dict[str, str]
) -> Iterator[dict[str, subprocess.Popen[str]]]:
    """A program for each wrong value shown, started with it."""
    processes = {}
    for row in WRONG_VALUES:
        name, _, value = row["Setting"].partition("=")
        app = next(app for app in APPS.values() if name in settings_of_app(app))
        processes[row["Setting"]] = subprocess.Popen(
            [sys.executable, str(app / "app.py")],
            cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT)} | good_environment | {name: value},
            stderr=subprocess.PIPE,
            text=True,
        )
    yield processes
    for process in processes.values():
        process.kill()
        process.communicate()


def test_each_wrong_value_shown_ends_the_program_with_the_sentence_shown(
    started: dict[str, subprocess.Popen[str]],
) -> None:
    said = {setting: process.communicate(timeout=30)[1] for setting, process in started.items()}

    assert said == {row["Setting"]: row["What the program says"] + "\n" for row in WRONG_VALUES}
    assert {process.returncode for process in started.values()} == {1}


def test_the_page_has_every_setting_of_mongrel2_with_its_value() -> None:
    configuration = (ROOT / "mongrel2/mongrel2.conf").read_text()
    settings = ast.literal_eval(configuration.partition("\nsettings = ")[2])
    shown = {
        row["Setting"]: row["Value"] for row in table(CONFIGURATION, "Setting", "Value", "Why")
    }

    assert shown == {name: str(value) for name, value in settings.items()}


def test_the_page_has_every_argument_of_brubeck_in_its_order_with_its_default() -> None:
    rows = table(CONFIGURATION, "Argument", "Default", "Meaning")
    arguments = inspect.signature(Brubeck).parameters.values()

    assert [(row["Argument"], row["Default"]) for row in rows] == [
        (argument.name, repr(argument.default)) for argument in arguments
    ]


def test_the_page_shows_each_connection_with_its_arguments() -> None:
    shown = {row["Connection"] for row in table(CONFIGURATION, "Connection", "For")}

    assert shown == {
        connection.__name__ + signature(connection)
        for connection in (Mongrel2Connection, WSGIConnection, ServiceConnection)
    }
