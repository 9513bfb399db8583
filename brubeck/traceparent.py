"""A `traceparent`: by which id others know a trace and a span of it (W3C Trace Context)."""

import re

SAMPLED = 1
"""The flag of a trace that is kept."""

KEPT = "1"
"""How a `traceparent` ends whose trace is kept, as `parse_traceparent` writes it."""

NOT_KEPT = "-"
"""What instances say in its place of a trace that began at one of them and is not kept.

It has no ids, as nobody will look for it.
"""

NOT_KEPT_IDS = f"00-{'f' * 32}-{'f' * 16}-00"
"""What others are told of such a trace: not to keep their parts of it.

Samplers that go by the id alone do not keep it either: they keep the lowest ones.
"""

_TRACEPARENT = re.compile(
    r"(?!ff)([0-9a-f]{2})-((?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
)
_AS_WE_WRITE_IT = re.compile("00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-0[01]")


def parse_traceparent(value: str) -> str:
    """A `traceparent` as version 00 writes it, or `NOT_KEPT`; an empty text if it is neither.

    Of a later version, what version 00 knows counts (W3C Trace Context, section 4.3).
    """
    if value == NOT_KEPT or _AS_WE_WRITE_IT.fullmatch(value):
        return value
    match = _TRACEPARENT.fullmatch(value)
    if match is None:
        return ""
    version, ids, flags, more = match.groups()
    if version == "00" and more is not None:
        return ""
    return f"00-{ids}-{int(flags, 16) & SAMPLED:02x}"
