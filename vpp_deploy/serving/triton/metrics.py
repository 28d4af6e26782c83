"""A pool's metrics among those of the server. Imported in Triton alone."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from math import inf
from time import monotonic
from typing import Any, Final, NamedTuple

import triton_python_backend_utils as pb_utils

from vpp_deploy.serving.metrics import FAMILIES, LATENCY, LATENCY_HELP, buckets
from vpp_deploy.serving.pool import PoolStatistics, SessionPool

_log = logging.getLogger(__name__)
_SECONDS: Final = 1.0
"""From one time that the server is told to the next."""


class _Value(NamedTuple):
    name: str
    help: str
    counter: bool
    label: str
    label_value: str
    value: float


class ServerMetrics:
    """Brings the metrics of a pool to Triton's metrics service, with the labels `model` and `process`.

    Triton loads a model anew before it ends the old one: a port of the model's own would be in use then, and metrics
    of the same labels would end with the old one's. The parts of the latency histogram are counters here, because
    servers before 24.12 know no other kind.

    Args:
        pool: whose they are.
        model: its name.
    """

    def __init__(self, pool: SessionPool, model: str) -> None:
        self._pool = pool
        self._labels = {"model": model, "process": str(os.getpid())}
        self._families: dict[str, Any] = {}
        self._metrics: dict[tuple[str, str], Any] = {}
        self._told: dict[tuple[str, str], float] = {}
        self._next = 0.0

    def update(self) -> None:
        """Tell the server what has changed, once a second at most. In Triton's own calls alone.

        From a thread of ours it could be told while Triton ends the model, and would wait for ever.
        """
        if (now := monotonic()) < self._next:
            return
        self._next = now + _SECONDS
        try:
            for value in _values(self._pool.statistics):
                if self._told.get((value.name, value.label_value)) != value.value:
                    self._tell(value)
        except pb_utils.TritonModelException as error:
            _log.warning("there are no metrics of streams: %s", error)  # the server was built without
            self._next = inf

    def close(self) -> None:
        """Take them back: the server would keep them for ever. In `finalize`."""
        self._metrics.clear()  # before the families that they are of
        self._families.clear()

    def _tell(self, value: _Value) -> None:
        key = value.name, value.label_value
        if key not in self._metrics:
            if value.name not in self._families:
                kinds = pb_utils.MetricFamily
                kind = kinds.COUNTER if value.counter else kinds.GAUGE
                self._families[value.name] = kinds(name=value.name, description=value.help, kind=kind)
            labels = self._labels | ({value.label: value.label_value} if value.label else {})
            self._metrics[key] = self._families[value.name].Metric(labels=labels)
        metric, before = self._metrics[key], self._told.get(key, 0.0)
        if not value.counter:
            metric.set(value.value)
        else:
            metric.increment(value.value - before)
        self._told[key] = value.value


def _values(now: PoolStatistics) -> Iterator[_Value]:
    for family in FAMILIES:
        name = f"{family.name}_total" if family.counter else family.name
        for label_value, value in family.read(now).items():
            yield _Value(name, family.help, family.counter, family.label, label_value, value)
    for bound, count in buckets(now.latency).items():
        yield _Value(f"{LATENCY}_bucket", LATENCY_HELP, True, "le", bound, count)
    yield _Value(f"{LATENCY}_count", LATENCY_HELP, True, "", "", now.done)
    yield _Value(f"{LATENCY}_sum", LATENCY_HELP, True, "", "", now.latency.seconds)
