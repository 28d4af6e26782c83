"""Metrics of live sources for Prometheus, beside those of the pool."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from vpp_deploy.serving.live.capture import State
from vpp_deploy.serving.live.run import LiveRun

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric


class LiveCollector:
    """The metrics of a run, by source, made of its statuses whenever they are asked for.

    Args:
        run: whose they are.
    """

    def __init__(self, run: LiveRun) -> None:
        self._run = run

    def collect(self) -> Iterator[Metric]:
        """Whether a source plays, its frames, dropped frames and errors, and the age of its results."""
        from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily

        labels = ["source"]
        up = GaugeMetricFamily("vpp_source_up", "1 while frames come, else 0.", labels=labels)
        age = GaugeMetricFamily("vpp_source_age_seconds", "From a frame to its result, median of late.", labels=labels)
        received = CounterMetricFamily("vpp_source_frames", "Frames that came.", labels=labels)
        dropped = CounterMetricFamily("vpp_source_dropped_frames", "Frames that a newer one replaced.", labels=labels)
        failed = CounterMetricFamily("vpp_source_errors", "Frames with an error.", labels=labels)
        for status in self._run.statuses:
            up.add_metric([status.name], status.state is State.PLAYING)
            if status.age is not None:
                age.add_metric([status.name], status.age)
            received.add_metric([status.name], status.received)
            dropped.add_metric([status.name], status.dropped)
            failed.add_metric([status.name], status.failed)
        yield from (up, age, received, dropped, failed)
