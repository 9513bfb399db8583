"""When there are traces, and when nothing is loaded for them."""

import pytest

from brubeck import tracing
from brubeck.environment import SettingError
from tests.unit.brubeck.programs import output_of

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        ENDPOINT,
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "OTEL_SDK_DISABLED",
        "OTEL_TRACES_EXPORTER",
        "OTEL_EXPORTER_OTLP_PROTOCOL",
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {ENDPOINT: ""},
        {ENDPOINT: "http://there", "OTEL_SDK_DISABLED": "True"},
        {ENDPOINT: "http://there", "OTEL_TRACES_EXPORTER": "none"},
    ],
    ids=["no receiver", "an empty one", "disabled", "no exporter"],
)
def test_there_are_none_unless_the_environment_wants_them(
    settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert tracing.start() is None


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("OTEL_TRACES_EXPORTER", "console", "OTEL_TRACES_EXPORTER is 'console', not otlp or none"),
        (
            "OTEL_EXPORTER_OTLP_PROTOCOL",
            "grpc",
            "OTEL_EXPORTER_OTLP_PROTOCOL is 'grpc', not http/protobuf",
        ),
        (
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
            "100000",
            "traces cannot be set up: max_export_batch_size must be less than",
        ),
    ],
)
def test_what_we_lack_is_said_at_the_start(
    name: str, value: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:1")
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingError) as said:
        tracing.start()
    assert str(said.value).startswith(sentence)


def test_nothing_is_loaded_where_there_are_none() -> None:
    loaded = output_of(
        "import os, sys; os.environ.pop('OTEL_EXPORTER_OTLP_ENDPOINT', None);"
        "from brubeck.request_handling import Brubeck;"
        "from brubeckservice.base import ServiceConnection, ServiceClientMixin;"
        "from brubeck.connections import WSGIConnection;"
        "import gevent; from tests.ports import free_port;"
        "app = Brubeck(WSGIConnection(free_port(), '127.0.0.1'), watchdog_timeout=0);"
        "gevent.spawn_later(0.1, app.msg_conn.stop); app.run();"
        "print('loaded:', [n for n in sys.modules if n.split('.')[0] in ('opentelemetry', 'google')"
        " or n.startswith('brubeck.span')])"
    )
    assert loaded.splitlines()[-1] == "loaded: []"


@pytest.mark.parametrize(
    "headers",
    ["Authorization: Bearer credential", "Authorization=Bearer%20credential%0Ay"],
    ids=["cannot be read", "cannot be sent"],
)
def test_a_wrong_header_is_complained_of_without_the_credential_in_it(headers: str) -> None:
    said = output_of(
        "import brubeck.cooperative, os;"
        "os.environ['OTEL_EXPORTER_OTLP_ENDPOINT'] = 'http://127.0.0.1:9';"
        "os.environ['OTEL_EXPORTER_OTLP_TIMEOUT'] = '0.1';"
        f"os.environ['OTEL_EXPORTER_OTLP_HEADERS'] = {headers!r};"
        "from brubeck import logs, tracing;"
        "logs.configure('DEBUG', 'text');"
        "traces = tracing.start();"
        "from opentelemetry import trace;"
        "trace.get_tracer('test').start_span('a span').end();"
        "traces.stop()"
    )
    assert "header" in said.lower()
    assert "credential" not in said
