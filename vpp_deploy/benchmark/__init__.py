"""How fast is it, and compared with what: engines and peers side by side, alternating in one process."""

from vpp_deploy.benchmark.candidates import PEERS, Candidate
from vpp_deploy.benchmark.report import BenchmarkReport, CandidateReport
from vpp_deploy.benchmark.runner import benchmark
from vpp_deploy.benchmark.statistics import Ratio, Summary, ratio, summary

__all__ = [
    "PEERS",
    "BenchmarkReport",
    "Candidate",
    "CandidateReport",
    "Ratio",
    "Summary",
    "benchmark",
    "ratio",
    "summary",
]
