"""How long a frame takes, and how many times as long in PyTorch: alternating, with a confidence interval."""

import sys

import vpp_deploy as vd
from vpp_deploy.benchmark.runner import benchmark

bundle = vd.Bundle.open(sys.argv[1])
report = benchmark([bundle], peers=["torch"], rounds=5)
for measured in report.candidates:
    compared = "" if measured.ratio is None else f"{measured.ratio.value:.2f} times as long"
    print(f"{measured.engine}: {1000 * measured.latency.median:.1f} ms a frame", compared)
