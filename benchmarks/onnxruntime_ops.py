"""What the library of native ops gives ONNX Runtime engines: with it against without it, alternating in one process.

    python -m benchmarks.onnxruntime_ops build/onnxruntime_ops small.bundle demo.bundle --threads 1 2 --rounds 20

Every bundle is copied, and each copy gets an engine. The ratio is that of the medians of a whole call, with its 95 %
interval; below 1 the library wins. Then each engine runs once more with ONNX Runtime's profiler: how much of its nodes'
time deformable attention takes, with everything that its standard form is made of.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import onnx

import vpp_deploy
from vpp_deploy.benchmark.environment import describe_machine
from vpp_deploy.benchmark.runner import benchmark
from vpp_deploy.engines.onnxruntime.engine import OnnxRuntimeEngine
from vpp_deploy.engines.onnxruntime.native_library import PATH_VARIABLE
from vpp_deploy.tasks import TASKS

FORMS = ("without", "with")
OP = "DeformableAttention"
FRAMES = 4
"""Of the profiled runs."""


def prepare(source: Path, folder: Path) -> dict[str, vpp_deploy.Bundle]:
    """Copies of a bundle with an engine each."""
    bundles = {}
    for form in FORMS:
        bundle = vpp_deploy.Bundle.open(shutil.copytree(source, folder / f"{form}.bundle"))
        vpp_deploy.build_engine(bundle, force=True, native_ops="auto" if form == "with" else "none")
        bundles[form] = bundle
    return bundles


def measure(bundles: dict[str, vpp_deploy.Bundle], threads: int, rounds: int) -> dict[str, Any]:
    """Medians, their ratio, and the profiled share of the op."""
    report = benchmark(
        list(bundles.values()),
        engines=["onnxruntime"],
        rounds=rounds,
        options={"threads": threads},
        measure_start_up=False,
    )
    without, with_library = report.candidates
    ratio = with_library.ratio
    assert ratio is not None
    return {
        "threads": threads,
        "without_ms": 1e3 * without.latency.median,
        "with_ms": 1e3 * with_library.latency.median,
        "ratio": ratio.value,
        "interval": [ratio.low, ratio.high],
        "share": {form: share_of_op(bundle, threads) for form, bundle in bundles.items()},
    }


def share_of_op(bundle: vpp_deploy.Bundle, threads: int) -> float:
    """Time of the nodes that an op is made of, over that of all nodes, in the last graph's profile.

    Nodes that ONNX Runtime made itself are named after the value that they give.
    """
    engine = OnnxRuntimeEngine(bundle, threads, bundle.path.parent / "profile")
    run = TASKS[engine.manifest.task].workload(engine, None)
    for _ in range(FRAMES):
        run()
    role, profile = list(engine.end_profiling().items())[-1]
    graph = onnx.load(bundle.engine_folder("onnxruntime") / f"{role}.onnx", load_external_data=False).graph
    names = {output: node.name for node in graph.node for output in node.output}
    seconds: Counter[bool] = Counter()
    for event in json.loads(profile.read_text()):
        name = event.get("name", "")
        if event.get("cat") == "Node" and name.endswith("_kernel_time"):
            name = name.removesuffix("_kernel_time")
            seconds[OP in names.get(name, name)] += event["dur"]
    for path in bundle.path.parent.glob("profile-*.json"):
        path.unlink()
    return seconds[True] / sum(seconds.values())


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", type=Path, help="libvpp_onnxruntime_ops.so, or its folder")
    parser.add_argument("bundles", type=Path, nargs="+")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    os.environ[PATH_VARIABLE] = str(arguments.library)
    results = {}
    for source in arguments.bundles:
        with TemporaryDirectory() as folder:
            bundles = prepare(source, Path(folder))
            results[source.name] = [measure(bundles, threads, arguments.rounds) for threads in arguments.threads]
        for line in results[source.name]:
            low, high = line["interval"]
            print(
                f"{source.name}, {line['threads']} threads: {line['without_ms']:.0f} ms without, "
                f"{line['with_ms']:.0f} ms with, ratio {line['ratio']:.3f} [{low:.3f}, {high:.3f}]; deformable "
                f"attention {line['share']['without']:.1%} without, {line['share']['with']:.1%} with",
                flush=True,
            )
    if arguments.json:
        when = datetime.now(UTC).isoformat(timespec="seconds")
        content = {"date": when, "machine": describe_machine(), "rounds": arguments.rounds, "results": results}
        arguments.json.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
