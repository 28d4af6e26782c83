"""What `benchmark --json` and `evaluate --json` write, made from their own reports."""

from __future__ import annotations

from typing import Any

from vpp_deploy.benchmark.report import BenchmarkReport, CandidateReport
from vpp_deploy.benchmark.statistics import Ratio, summary
from vpp_deploy.tasks.segmentation.evaluation.metrics import Scores
from vpp_deploy.tasks.segmentation.evaluation.report import EvaluationReport, EvaluationRun


def benchmark(bundle: str, engine: str = "onnxruntime") -> dict[str, Any]:
    machine = {"processor": "a processor", "system": "a system", "date": "2026-01-01", "gpus": []}
    candidates = [_candidate(bundle, engine, 0.02, None), _candidate(bundle, "torch", 0.03, Ratio(1.5, 1.4, 1.6))]
    return BenchmarkReport(machine, "synthetic", 2, 1, candidates).to_dict()


def evaluation(bundle: str, engine: str = "onnxruntime", data: str = "valid") -> dict[str, Any]:
    runs = [
        EvaluationRun(bundle, name, "topk", "0.55", _scores(ap), {"point": kept}, kept, {"point": 1.0}, 4, 32)
        for name, ap, kept in ((engine, 72.5, 0.55), ("torch", 60.25, 0.3))
    ]
    return EvaluationReport(bundle, data, "instances.json", tuple(runs), ()).to_dict()


def _candidate(bundle: str, engine: str, seconds: float, ratio: Ratio | None) -> CandidateReport:
    calls = [seconds, 1.1 * seconds]
    parts = {"engine": summary([0.8 * call for call in calls]), "host": summary([0.2 * call for call in calls])}
    return CandidateReport(bundle, engine, "frames", 1, summary(calls), parts, ratio, None, None, calls)


def _scores(ap: float) -> Scores:
    return Scores(ap, ap, ap, {"circle": ap}, ap, ap, {"circle": ap}, {"circle": ap})
