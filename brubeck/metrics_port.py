"""`/metrics` on a port of its own, in Prometheus' text format or OpenMetrics, as the reader asks.

It has nothing to do with the way browsers come: no path that Mongrel2 hands on leads here. The
process's event loop answers, so that one which is stuck or frozen does not look alive.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate, chain
from socket import gethostname
from typing import Any

import gevent
from gevent.pool import Pool
from gevent.pywsgi import WSGIServer
from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    make_wsgi_app,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

from brubeck import __version__
from brubeck.environment import SettingError, check_port
from brubeck.loop_lag import measure_loop_lag
from brubeck.metrics import BOUNDS, READINGS, Durations, Measured, Metrics, Reading, Series
from brubeck.wsgi_handler import ImpatientHandler

logger = logging.getLogger(__name__)

MAX_READERS = 16
"""Connections at a time; others wait."""

MAX_EXEMPLAR_ID = 100
"""Characters: OpenMetrics allows 128 for an exemplar's label and its name together."""

Readings = Callable[[], Iterator[Reading]]
Bucket = tuple[str, float] | tuple[str, float, Exemplar]


class MetricsPort:
    """Serves what `metrics` has counted and `readings` says, at `port` of every address.

    Raises:
        SettingError: if it is not a port, or somebody else listens there.
    """

    def __init__(self, port: int, metrics: Metrics, readings: Readings) -> None:
        check_port("metrics_port", port)
        self._server = WSGIServer(
            ("", port),
            application(metrics, readings),
            handler_class=_Handler,
            spawn=Pool(MAX_READERS),
            log=None,
            error_log=logger,
        )
        try:
            self._server.start()
        except OSError as error:
            raise SettingError(f"metrics_port: cannot listen: {error.strerror}") from None
        self._lag = gevent.spawn(measure_loop_lag, lambda s: metrics.event_loop_lag.observe((), s))

    def stop(self) -> None:
        """Close the port."""
        self._lag.kill(block=False)
        self._server.stop(timeout=0)


def application(metrics: Metrics, readings: Readings) -> Callable[..., Any]:
    """The WSGI application: `/metrics`, and nothing else."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Ours(metrics, readings))
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    answer = make_wsgi_app(registry)

    def only_metrics(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        if environ["PATH_INFO"] != "/metrics":
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"only /metrics is here\n"]
        return answer(environ, start_response)

    return only_metrics


class _Handler(ImpatientHandler):
    """Closes connections of readers who have gone without saying so: they would fill the pool."""

    idle = 90.0  # longer than the pauses between the looks of whoever reads them


class _Ours(Collector):
    def __init__(self, metrics: Metrics, readings: Readings) -> None:
        self._metrics = metrics
        self._readings = readings

    def collect(self) -> Iterator[Metric]:
        yield from map(_histogram, self._metrics.durations)
        build = Reading("brubeck_build_info", 1, {"version": __version__, "host": gethostname()})
        yield from _families(chain([build], self._metrics.readings(), self._readings()))


def _histogram(durations: Durations) -> Metric:
    family = HistogramMetricFamily(durations.name, durations.help, labels=durations.labels)
    for labels, series in durations.series.items():
        family.add_metric([str(label) for label in labels], _buckets(series), series.sum)
    return family


def _buckets(series: Series) -> list[Bucket]:
    """The buckets as Prometheus has them: each counts those below it as well."""
    bounds = (*map(str, BOUNDS), "+Inf")
    counts = accumulate(series.counts)
    return [
        (bound, count, *_exemplar(newest))
        for bound, count, newest in zip(bounds, counts, series.newest, strict=True)
    ]


def _exemplar(newest: Measured | None) -> tuple[()] | tuple[Exemplar]:
    if newest is None or not 0 < len(newest[0]) <= MAX_EXEMPLAR_ID:  # a caller may send any
        return ()
    request_id, seconds = newest
    return (Exemplar({"request_id": request_id}, seconds),)


def _families(readings: Iterable[Reading]) -> Iterator[Metric]:
    families: dict[str, Metric] = {}
    for name, value, labels in readings:
        if name not in families:
            kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
            families[name] = kind(name, READINGS[name])
        families[name].add_sample(name, dict(labels), value)
    yield from families.values()
