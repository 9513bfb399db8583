"""docs/protocol.md says what the code does, where that can be compared."""

import re

import pytest

from brubeckservice import protocol
from brubeckservice.keys import derive_keys
from tests.needs import ROOT

PAGE = (ROOT / "docs" / "protocol.md").read_text()


def test_the_keys_on_the_page_are_those_of_the_passphrase_on_the_page() -> None:
    match = re.search(r"for the\s+passphrase `([^`]+)`", PAGE)
    assert match
    keys = derive_keys(match[1])

    assert f"service  {keys.service.public.decode()}\n" in PAGE
    assert f"caller   {keys.caller.public.decode()}\n" in PAGE


@pytest.mark.parametrize(
    "kind",
    [*protocol.FromCaller.__args__, *protocol.FromService.__args__],
    ids=lambda kind: kind.__name__,
)
def test_the_grammar_has_every_kind_with_its_elements_in_order(kind: type) -> None:
    rule = re.search(rf"^{kind.__struct_config__.tag} +=(.*(?:\n {{4,}}.*)*)", PAGE, re.MULTILINE)  # type: ignore[attr-defined]
    assert rule
    named = [word.replace("-", "_") for word in re.findall(r"[a-z][a-z-]+", rule[1])][1:]

    assert named == list(kind.__struct_fields__)  # type: ignore[attr-defined]


def test_the_bounds_on_the_page_are_those_of_the_code() -> None:
    assert f"{protocol.MAX_TEXT:,} characters" in PAGE
    assert f"{protocol.MAX_PATH:,} characters" in PAGE
    assert f"0 to {protocol.MAX_BUDGET:,}" in PAGE
    assert (protocol.MAX_MESSAGE_BYTES, protocol.MAX_BATCH_BYTES) == (1024**2, 32 * 1024)
    methods = re.search(r"one of `([a-z ]+)`", PAGE)
    assert methods
    assert set(methods[1].split()) == protocol.METHODS
