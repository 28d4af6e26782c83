"""Benchmark reports with given medians."""

from __future__ import annotations

from collections.abc import Sequence

from vpp_deploy.benchmark.report import BenchmarkReport, CandidateReport
from vpp_deploy.benchmark.statistics import summary


def report_of(medians: Sequence[tuple[str, float]]) -> BenchmarkReport:
    """A report on the ONNX Runtime engines of bundles, each with its median in seconds."""
    candidates = [
        CandidateReport(bundle, "onnxruntime", "frames", 1, summary([seconds]), {}, None, None, None, [seconds])
        for bundle, seconds in medians
    ]
    return BenchmarkReport({}, "synthetic", 1, 1, candidates)
