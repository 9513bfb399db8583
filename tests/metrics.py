"""What a process says at its metrics port."""

from collections.abc import Iterator

from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.http import ask

OPENMETRICS = "application/openmetrics-text"


def samples(port: int) -> Iterator[Sample]:
    """All of it, read as OpenMetrics."""
    answer = ask(port, "/metrics", headers={"Accept": f"{OPENMETRICS}; version=1.0.0"}, timeout=10)
    assert (answer.status, answer.headers.get_content_type()) == (200, OPENMETRICS)
    for family in text_string_to_metric_families(answer.text):  # type: ignore[no-untyped-call]
        yield from family.samples


def values(port: int, name: str) -> dict[tuple[str, ...], float]:
    """The values of one name, by those of its labels, in the order of the labels' names."""
    return {
        tuple(value for _, value in sorted(sample.labels.items())): sample.value
        for sample in samples(port)
        if sample.name == name
    }
