"""Form bodies: bytes to fields and files, by the `multipart` package. No I/O.

Bodies are in memory already, and no longer than the server in front allows; the bounds here
are on what a body may be made of.
"""

import io
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from multipart import MultipartError, MultipartParser, parse_options_header  # type: ignore[import-untyped]

from brubeck.errors import BadRequest

MAX_FIELDS = 1000
"""Fields and files one form may have, and arguments one query; more are a 400."""

UploadedFile = dict[str, str | bytes]
"""`filename`, `body` (bytes) and `content_type` of a file."""


@dataclass(frozen=True, slots=True)
class Form:
    """The fields and the files of a form, each name with all that was sent under it."""

    fields: dict[str, list[str]] = field(default_factory=dict)
    files: dict[str, list[UploadedFile]] = field(default_factory=dict)


def parse_form(content_type: str, body: bytes) -> Form:
    """Read a body, if its type is that of a form; otherwise the form is empty.

    Raises:
        BadRequest: if it is no such form, or has more than `MAX_FIELDS` parts.
    """
    kind, options = parse_options_header(content_type)
    if kind == "application/x-www-form-urlencoded":
        return Form(parse_arguments(body))
    if kind == "multipart/form-data":
        return _parse_multipart(options.get("boundary", ""), body)
    return Form()


def parse_arguments(data: bytes) -> dict[str, list[str]]:
    """The arguments of a query, or of a form that is encoded like one (WHATWG URL, section 5.1).

    They are UTF-8, percent-encoded or not.

    Raises:
        BadRequest: if there are more than `MAX_FIELDS`.
    """
    if not data:
        return {}
    text = data.decode("utf-8", "replace")
    try:
        return parse_qs(text, keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        raise BadRequest(f"more than {MAX_FIELDS} arguments") from None


def _parse_multipart(boundary: str, body: bytes) -> Form:
    form = Form()
    size = len(body) + 1  # everything stays in memory: it is there already
    limits = {"part_limit": MAX_FIELDS, "spool_limit": size, "memory_limit": size}
    try:
        for part in MultipartParser(io.BytesIO(body), boundary, len(body), **limits).parts():
            if part.filename is None:
                part.value.encode()  # some charsets have half characters
                form.fields.setdefault(part.name, []).append(part.value)
            else:
                form.files.setdefault(part.name, []).append(
                    {
                        "filename": part.filename,
                        "body": part.raw,
                        "content_type": part.content_type,
                    }
                )
    except (MultipartError, ValueError, LookupError) as error:  # a charset that is none
        error.__traceback__ = None  # the parser keeps the error, and that would keep the body
        raise BadRequest(f"not a form: {error}") from None
    return form
