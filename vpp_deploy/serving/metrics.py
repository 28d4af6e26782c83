"""Metrics of a pool for Prometheus: as text, and over HTTP."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from vpp_deploy.errors import DependencyError, OutputError, UsageError
from vpp_deploy.serving.measurements import LATENCY_BOUNDS, Latency
from vpp_deploy.serving.pool import PoolStatistics, SessionPool

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric

_HOST: Final = "127.0.0.1"
_ADDRESS: Final = re.compile(r"(?:(?P<host>[^:\s]+|\[[0-9a-fA-F:]+\]):)?(?P<port>[0-9]{1,5})")


class Address(NamedTuple):
    """Where metrics are served."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """What Prometheus scrapes."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/metrics"


class Collector(Protocol):
    """What gives metrics, as `prometheus_client` defines it."""

    def collect(self) -> Iterator[Metric]:
        """Its metrics now."""
        ...


@dataclass(frozen=True)
class Family:
    """A metric and what it is of a pool's statistics.

    Attributes:
        name: without the `_total` of a counter.
        help: what it is, in a sentence.
        counter: it only grows; otherwise it is a gauge.
        read: values by that of the label; without a label of "" alone.
        label: name of the label; "" for none.
    """

    name: str
    help: str
    counter: bool
    read: Callable[[PoolStatistics], Mapping[str, float]]
    label: str = ""


FAMILIES: Final = (
    Family("vpp_streams", "Streams that are open.", False, lambda now: {"": now.streams}),
    Family("vpp_waiting_frames", "Frames that wait for a worker.", False, lambda now: {"": now.waiting}),
    Family("vpp_frames", "Frames with a result.", True, lambda now: {"": now.done}),
    Family("vpp_dropped_frames", "Frames that a newer one replaced.", True, lambda now: {"": now.dropped}),
    Family("vpp_expired_streams", "Streams closed because nothing came.", True, lambda now: {"": now.expired}),
    Family("vpp_errors", "Frames with an error.", True, lambda now: now.errors, "kind"),
    Family("vpp_kept_tokens", "Tokens that were kept in all frames.", True, lambda now: now.kept, "point"),
)
LATENCY: Final = "vpp_frame_latency_seconds"
LATENCY_HELP: Final = "From a frame to its result."


def buckets(latency: Latency) -> dict[str, int]:
    """Frames at or below each upper bound, as Prometheus counts them."""
    bounds = (*map(str, LATENCY_BOUNDS), "+Inf")
    return dict(zip(bounds, accumulate(latency.counts), strict=True))


class PoolCollector:
    """The metrics of one pool, made of its statistics whenever they are asked for.

    Args:
        pool: whose they are.
    """

    def __init__(self, pool: SessionPool) -> None:
        self._pool = pool

    def collect(self) -> Iterator[Metric]:
        """Those of `FAMILIES`, and the latency as a histogram."""
        from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        now = self._pool.statistics
        for family in FAMILIES:
            kind = CounterMetricFamily if family.counter else GaugeMetricFamily
            metric = kind(family.name, family.help, labels=[family.label] if family.label else [])
            for value, count in family.read(now).items():
                metric.add_metric([value] if family.label else [], count)
            yield metric
        counts = [(bound, float(count)) for bound, count in buckets(now.latency).items()]
        yield HistogramMetricFamily(LATENCY, LATENCY_HELP, counts, now.latency.seconds)


def render(pool: SessionPool, *others: Collector) -> str:
    """The metrics of a pool in Prometheus' text format.

    Args:
        pool: any.
        others: collectors of `prometheus_client` whose metrics come too.

    Raises:
        DependencyError: prometheus-client is not installed.
    """
    registry = _registry([PoolCollector(pool), *others])
    from prometheus_client.exposition import generate_latest

    return generate_latest(registry).decode()


@contextmanager
def serve_metrics(pool: SessionPool, address: str, *others: Collector) -> Iterator[Address]:
    """Serve the metrics of a pool over HTTP while the block runs, from a thread.

    ```python
    with SessionPool(model) as pool, serve_metrics(pool, "127.0.0.1:9100") as address:
        print(address.url)
    ```

    Args:
        pool: any.
        address: `HOST:PORT`, or `PORT` of this machine alone (127.0.0.1); port 0 takes a free one.
        others: collectors of `prometheus_client` whose metrics come too.

    Yields:
        Where they are.

    Raises:
        UsageError: it is no address.
        OutputError: nothing can be served there.
        DependencyError: prometheus-client is not installed.
    """
    host, port = parse_address(address)
    registry = _registry([PoolCollector(pool), *others])
    from prometheus_client import start_http_server

    try:
        server, thread = start_http_server(port, host, registry)
    except (OSError, UnicodeError) as error:  # UnicodeError: a host's name of more than 63 letters
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"metrics cannot be served at {address!r:.80}: {reason}; choose another one") from error
    try:
        yield Address(host, server.server_port)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def parse_address(text: str) -> Address:
    """Host and port of `HOST:PORT` or `PORT`.

    Raises:
        UsageError: it is of another form, or there is no such port.
    """
    match = _ADDRESS.fullmatch(text)
    if match is None or int(match["port"]) > 0xFFFF:
        raise UsageError(f"address {text!r:.80} is not HOST:PORT, such as 127.0.0.1:9100")
    return Address((match["host"] or _HOST).strip("[]"), int(match["port"]))


def _registry(collectors: Sequence[Any]) -> CollectorRegistry:
    try:
        from prometheus_client import CollectorRegistry
    except ImportError as error:
        raise DependencyError(
            f"metrics need prometheus-client ({error}); install it with: pip install 'vpp-deploy[metrics]'"
        ) from error
    registry = CollectorRegistry(auto_describe=False)
    for collector in collectors:
        registry.register(collector)
    return registry
