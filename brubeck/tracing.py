"""Whether there are traces: OpenTelemetry's own variables say so, and nothing is loaded otherwise.

They are on where a variable names a receiver. What the others mean, and how they are read, is
OpenTelemetry's matter:
https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

import os
from typing import TYPE_CHECKING

from brubeck.environment import SettingError

if TYPE_CHECKING:
    from brubeck.spans import Tracing

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL = "http/protobuf"


def start() -> "Tracing | None":
    """Traces as the environment asks for them; None if it does not. Whoever starts them stops them.

    Raises:
        SettingError: if they are wanted but OpenTelemetry is not installed, or in a way we lack.
    """
    endpoint = _first_set(_ENDPOINTS)
    exporter = os.environ.get("OTEL_TRACES_EXPORTER") or "otlp"
    disabled = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    if not endpoint or disabled or exporter == "none":
        return None
    if exporter != "otlp":
        raise SettingError(f"OTEL_TRACES_EXPORTER is {exporter!r}, not otlp or none")
    protocol = _first_set(_PROTOCOLS)
    if protocol and os.environ[protocol] != _PROTOCOL:
        raise SettingError(f"{protocol} is {os.environ[protocol]!r}, not {_PROTOCOL}")
    try:
        from brubeck.spans import Tracing  # noqa: PLC0415  # only where it is wanted
    except ModuleNotFoundError as error:
        raise SettingError(
            f"{endpoint} is set, but {error.name} is not installed: "
            "it comes with the extra `tracing`"
        ) from None
    try:
        return Tracing.to_receiver()
    except ValueError as error:
        raise SettingError(f"traces cannot be set up: {error}") from None


def _first_set(names: tuple[str, ...]) -> str:
    return next((name for name in names if os.environ.get(name)), "")
