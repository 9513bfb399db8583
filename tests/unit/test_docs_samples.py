"""The pages for users name what is there, and show log lines that the programs write.

Their programs are run, and what they say of the commands is compared, in
`tests/integration/test_tutorial.py`; links, scripts and syntax are `test_documents`' affair.
"""

import ast
import builtins
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from brubeckservice.errors import ServiceError
from tests.needs import ROOT
from tests.pages import blocks, files

PAGES = sorted(ROOT.glob("docs/*.md"))
INDEX = ROOT / "docs/README.md"
SERVICES = ROOT / "docs/services.md"
DEPLOYMENT = ROOT / "docs/deployment.md"
TROUBLESHOOTING = ROOT / "docs/troubleshooting.md"
PYTHON = [*ROOT.glob("brubeck*/*.py"), *ROOT.glob("*/app.py")]
COMPOSE = (ROOT / "compose.yaml").read_text()

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def prose(page: Path) -> str:
    """The text without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def table(page: Path, first_column: str) -> list[list[str]]:
    """The rows of the only table whose first column is headed so."""
    [rows] = re.findall(
        rf"^\| {re.escape(first_column)} \|.*\n\|[-|]+\n((?:\|.*\n)+)", prose(page), re.M
    )
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows.splitlines()]


# Names


def words_of_the_repository() -> set[str]:
    """All words in the files that the pages are about."""
    sources = [
        *PYTHON,
        *ROOT.glob("mongrel2/*.conf"),
        *ROOT.glob("client-app/templates/*"),
        *ROOT.glob("*/Dockerfile"),
        *(path for path in ROOT.glob("scripts/*") if path.is_file()),
        *(path for path in ROOT.glob("deploy/swarm/*") if path.is_file()),
        *ROOT.glob("prometheus/*.yml"),
        ROOT / "compose.yaml",
    ]
    tests = {path.stem for path in (ROOT / "tests").glob("**/*.py")}
    words = {word for path in sources for word in re.findall(r"\w+", path.read_text())}
    histograms = {word for word in words if re.fullmatch(r"brubeck_\w+_seconds", word)}
    series = {f"{name}_{end}" for name in histograms for end in ("bucket", "count", "sum")}
    return tests | words | series


REPOSITORY = words_of_the_repository()
ELSEWHERE = {
    *("COMPOSE_PROFILES", "COMPOSE_PROJECT_NAME", "EventSource", "NoneType", "OOMKilled"),
    *("histogram_quantile", "process_cpu_seconds_total", "process_resident_memory_bytes"),
    *("process_", "python_", "temp_store"),
    *dir(builtins),
}
"""Names that others gave."""

NAME = re.compile(r"\b(?:[A-Za-z]+_\w+|_\w+|[A-Z][a-z0-9]+(?:[A-Z]\w*)+|[A-Z]{4,})\b")
"""What a class, a setting or anything with an underscore looks like."""


@every_page
def test_every_name_in_code_marks_is_one_of_the_repository_or_of_the_page(page: Path) -> None:
    shown = {word for block in blocks(page) for word in re.findall(r"\w+", block.text)}
    known = REPOSITORY | shown | ELSEWHERE

    for code in re.findall(r"`([^`\n]+)`", prose(page)):
        for name in NAME.findall(code):
            assert name in known, code


@every_page
def test_every_program_that_a_page_starts_is_shown_on_it(page: Path) -> None:
    shown = files(blocks(page))
    for block in blocks(page):
        for command in block.commands:
            for program in re.findall(r"python (?:-m pytest -q )?([\w/]+\.py)", command.typed):
                assert program in shown, command.typed


# The index, and each page's own


def test_the_index_has_every_page_once() -> None:
    linked = re.findall(r"\]\(([\w-]+\.md)\)", INDEX.read_text())

    assert sorted(linked) == [page.name for page in PAGES if page != INDEX]


@every_page
def test_the_contents_of_a_page_are_its_headings(page: Path) -> None:
    listed = re.findall(r"^- \[([^\]]+)\]\(#[\w-]+\)$", prose(page), re.MULTILINE)
    headings = re.findall(r"^## (.+)$", prose(page), re.MULTILINE)

    assert not listed or listed == headings


# Tables


def test_the_page_on_services_has_every_way_a_call_can_fail() -> None:
    shown = {
        (error.strip("`"), int(status), may_have_run == "yes")
        for error, status, may_have_run, _ in table(SERVICES, "Error")
    }

    assert shown == {
        (error.__name__, error.status_code, error.may_have_run)
        for error in ServiceError.__subclasses__()
    }


def test_every_limit_of_services_is_what_the_page_says() -> None:
    rows = [row for row in table(SERVICES, "What") if "brubeckservice." in row[2]]

    assert rows
    for _, bound, where, _ in rows:
        named = re.match(r"`([\w.]+)\.(\w+)`", where)
        assert named
        assert getattr(importlib.import_module(named[1]), named[2]) == int(bound), where


def test_every_limit_of_web_handlers_is_what_the_page_says() -> None:
    constants = {}
    for source in ROOT.glob("brubeck/*.py"):
        for name, value in re.findall(r"^([A-Z_]+) = ([\d_ *.]+)$", source.read_text(), re.M):
            constants[name] = eval(value)  # noqa: S307  # a number in our own source
    units = {"MiB": 1024 * 1024, "KiB": 1024}
    page = ROOT / "docs/web-handlers.md"

    shown = 0
    for row in table(page, "What"):
        for name in re.findall(r"`([A-Z_]+)`", row[1]):
            number, unit = re.match(r"(\d+) ?([KM]iB)?", row[1]).groups()  # type: ignore[union-attr]
            assert constants[name] == int(number) * units.get(unit, 1), row
            shown += 1
    assert shown


def test_the_page_on_deployment_has_every_service_and_every_network() -> None:
    services, _, networks = COMPOSE.partition("\nservices:\n")[2].partition("\nnetworks:\n")
    networks = networks.partition("\nvolumes:")[0]
    for first_column, text in (("Service", services), ("Network", networks)):
        shown = {row[0].strip("`") for row in table(DEPLOYMENT, first_column)}
        assert shown == set(re.findall(r"^  ([\w-]+):", text, re.MULTILINE)), first_column


def test_every_limit_of_the_containers_is_what_the_page_says() -> None:
    for _, value, where in table(DEPLOYMENT, "Limit"):
        for setting in re.findall(r"`(\w+)`", where):
            lines = re.findall(rf"^.*\b{setting}\b.*$", COMPOSE, re.MULTILINE)
            assert lines, setting
            for line in lines:
                assert {*re.findall(r"\d+", line)} & {*re.findall(r"\d+", value)}, line


# Log lines

LOG_LINE = re.compile(
    r"(?:(?:INFO|WARNING|ERROR) \S+ (?P<logger>[\w.]+): |\w+Error: )?(?P<text>.+)"
)


def messages(source: Path) -> Iterator[re.Pattern[str]]:
    """What a file can say, as patterns: its texts, with anything where it puts a value."""
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            parts = re.split(r"%(?:\.\d)?[sdrf]", node.value)
        elif isinstance(node, ast.JoinedStr):
            parts = [str(v.value) if isinstance(v, ast.Constant) else "\0" for v in node.values]
            parts = "".join(parts).split("\0")
        else:
            continue
        if sum(map(len, parts)) >= 10:  # shorter ones say too little
            yield re.compile(".*".join(map(re.escape, parts)))  # an insertion may be empty


MESSAGES = [pattern for path in PYTHON for pattern in messages(path)]

LINES = [
    line
    for block in blocks(TROUBLESHOOTING)
    if block.language == "text"
    for line in block.text.splitlines()
]


@pytest.mark.parametrize("line", LINES)
def test_every_log_line_shown_is_one_that_the_programs_write(line: str) -> None:
    parsed = LOG_LINE.fullmatch(line)
    assert parsed
    logger = (parsed["logger"] or "brubeck").replace(".", "/")

    assert [*ROOT.glob(f"{logger}.py"), *ROOT.glob(f"{logger}/__init__.py")], logger
    assert any(pattern.search(parsed["text"]) for pattern in MESSAGES)


def test_every_sentence_of_a_program_that_cannot_start_is_in_the_programs() -> None:
    own = (
        "cannot listen: ",
        "not a service address: ",
        "template_loader is missing: ",
        ": cannot read ",
    )
    said = " ".join(row[0] for row in table(TROUBLESHOOTING, "It says"))
    sources = "".join(path.read_text() for path in PYTHON)

    for sentence in own:
        assert sentence in said
        assert sentence in sources
