"""What counts as a traceparent."""

import pytest

from brubeck.traceparent import parse_traceparent

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
KEPT = f"00-{TRACE}-{SPAN}-01"
NOT_KEPT = f"00-{TRACE}-{SPAN}-00"


@pytest.mark.parametrize(
    ("value", "known"),
    [
        (KEPT, KEPT),
        (NOT_KEPT, NOT_KEPT),
        (f"00-{TRACE}-{SPAN}-ff", KEPT),
        (f"00-{TRACE}-{SPAN}-02", NOT_KEPT),
        (f"cc-{TRACE}-{SPAN}-01", KEPT),
        (f"cc-{TRACE}-{SPAN}-01-what-will-be", KEPT),
        (f"00-{TRACE}-{SPAN}-01-what-will-be", ""),
        (f"cc-{TRACE}-{SPAN}-01.what-will-be", ""),
        (f"ff-{TRACE}-{SPAN}-01", ""),
        (f"00-{'0' * 32}-{SPAN}-01", ""),
        (f"00-{TRACE}-{'0' * 16}-01", ""),
        (f"00-{TRACE.upper()}-{SPAN}-01", ""),
        (f"00-{TRACE}-{SPAN}", ""),
        (f"00-{TRACE}-{SPAN}-01\n", ""),
        (f"{KEPT}, {KEPT}", ""),
        ("", ""),
    ],
)
def test_a_traceparent_counts_if_it_is_one(value: str, known: str) -> None:
    assert parse_traceparent(value) == known
