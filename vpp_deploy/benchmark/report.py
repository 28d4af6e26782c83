"""What a benchmark found, for people and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from vpp_deploy.benchmark.start_up import StartUp
from vpp_deploy.benchmark.statistics import Ratio, Summary
from vpp_deploy.files.limits import in_bytes
from vpp_deploy.terminal import console


@dataclass(frozen=True)
class CandidateReport:
    """What was measured of one candidate.

    Attributes:
        bundle: name of the bundle.
        engine: backend or peer.
        unit: what it takes, in the plural: frames, images, clips.
        items: how many of them in a call.
        latency: wall time of a call.
        parts: the same of its parts, `engine` and `host`.
        ratio: its time over that of the first candidate; None for the first one.
        start_up: None where it was not measured.
        concurrent_rate: items per second of all streams at once; None where there was one stream, and for what cannot
            run several at the same time.
        seconds: wall time of each call.
        bundle_hash: see `Manifest.bundle_hash`.
    """

    bundle: str
    engine: str
    unit: str
    items: int
    latency: Summary
    parts: Mapping[str, Summary]
    ratio: Ratio | None
    start_up: StartUp | None
    concurrent_rate: float | None
    seconds: Sequence[float]
    bundle_hash: str | None = None

    @property
    def rate(self) -> float:
        """Items per second of one stream, at the median."""
        return self.items / self.latency.median


@dataclass(frozen=True)
class BenchmarkReport:
    """A whole benchmark.

    Attributes:
        machine: what it ran on, with the date.
        source: what it ran over.
        rounds: timed calls of each candidate.
        streams: sessions at once where that was asked for, otherwise 1.
        candidates: in the order of the table; the first one is what the others are compared with.
    """

    machine: Mapping[str, Any]
    source: str
    rounds: int
    streams: int
    candidates: Sequence[CandidateReport]

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON values, every single time included."""
        content = asdict(self)
        for told, candidate in zip(content["candidates"], self.candidates, strict=True):
            told["rate"] = candidate.rate
            if candidate.ratio is not None:
                told["ratio"]["decided"] = candidate.ratio.decided
        return content


def render(report: BenchmarkReport) -> Table:
    """A row for each candidate."""
    first = report.candidates[0]
    streams = [f"{report.streams} streams"] if report.streams > 1 else []
    headers = ["ms a call", "p90", "p99", "min", "per second", *streams, "engine", "host", "start-up", "memory"]
    units = f"{first.items} {first.unit if first.items > 1 else first.unit[:-1]} a call"
    title = f"{report.source}, {units}, {report.rounds} rounds, alternating"
    same = all(candidate.bundle == first.bundle for candidate in report.candidates)
    table = console.table("", *headers, f"time over {first.engine if same else 'the first'}", title=title)
    for candidate in report.candidates:
        latency = candidate.latency
        rate = "–" if candidate.concurrent_rate is None else f"{candidate.concurrent_rate:.1f}"
        table.add_row(
            f"{candidate.bundle} {candidate.engine}",
            *(f"{1e3 * seconds:.1f}" for seconds in (latency.median, latency.p90, latency.p99, latency.minimum)),
            f"{candidate.rate:.1f}",
            *([rate] if streams else []),
            *(_part(candidate, part) for part in ("engine", "host")),
            f"{candidate.start_up.seconds:.1f} s" if candidate.start_up else "–",
            in_bytes(candidate.start_up.peak_memory) if candidate.start_up else "–",
            "1" if candidate.ratio is None else told_ratio(candidate.ratio),
        )
    return table


def told_ratio(ratio: Ratio) -> str:
    """A ratio with its interval; no difference is claimed where the interval has none."""
    interval = f"{ratio.low:.2f} to {ratio.high:.2f}"
    return f"{ratio.value:.2f} ({interval})" if ratio.decided else f"no difference seen ({interval})"


def _part(candidate: CandidateReport, part: str) -> str:
    return f"{1e3 * candidate.parts[part].median:.1f}" if part in candidate.parts else "–"
