"""A step of a VPP model on ONNX Runtime, dense and pruned: time and arithmetic by part, and how far from the floor.

    python -m benchmarks.step --model vpp-small --keep 0.4 --size 384x640

The floor is the arithmetic of the step at the rate at which this machine multiplies large matrices, measured in the
same run, in turn with the steps. What Amdahl's law allows: the parts that pruning does not touch take as long as in the
dense step, the transformer blocks as long as their share of the arithmetic. Weights are random (time does not depend on
them), frames are synthetic.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper
from rich.console import Console
from rich.table import Table

import vpp_deploy
from vpp_deploy.benchmark.environment import describe_machine
from vpp_deploy.benchmark.runner import alternate
from vpp_deploy.benchmark.statistics import Ratio, ratio, summary
from vpp_deploy.engines.lowered import lowered_model
from vpp_deploy.engines.onnxruntime.engine import OnnxRuntimeEngine
from vpp_deploy.engines.onnxruntime.sessions import session_options
from vpp_deploy.tasks.segmentation.workload import VideoWorkload

BLOCKS = "ViT blocks"
PARTS = (BLOCKS, "adapter", "selection", "pixel decoder", "transformer decoder", "other")
_RULES = (
    (r"(Select|Gather|Scatter|Associate)Tokens|selective_modules|matching_module", "selection"),
    (r"pixel_decoder", "pixel decoder"),
    (r"^panoptic_head|^frame/(Mat|Select|Gather)", "transformer decoder"),
    (r"blocks\.|patch_embed", BLOCKS),
    (r"^backbone", "adapter"),
)
_SIDE = 1024
"""Of the matrices whose product is the measure of the machine."""


@dataclass(frozen=True)
class Step:
    """What a step is made of.

    Attributes:
        seconds: of each round, host included.
        engine: of each round, in the engine alone.
        shares: of the engine's time, by part, in a profiled run.
        arithmetic: multiply-accumulates by part.
    """

    seconds: list[float]
    engine: list[float]
    shares: Mapping[str, float]
    arithmetic: Mapping[str, int]


def part_of(name: str) -> str | None:
    """The part of the model that a graph node belongs to; None if its name does not tell."""
    return next((part for pattern, part in _RULES if re.search(pattern, name)), None)


def arithmetic(bundle: vpp_deploy.Bundle) -> Counter[str]:
    """Multiply-accumulates of products and convolutions of the step graph, by part."""
    model = onnx.shape_inference.infer_shapes(lowered_model(bundle, "step", "onnxruntime"), data_prop=True)
    values = [*model.graph.value_info, *model.graph.input, *model.graph.output]
    shapes = {value.name: [d.dim_value for d in value.type.tensor_type.shape.dim] for value in values}
    shapes |= {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    found: Counter[str] = Counter()
    for node in model.graph.node:
        if node.op_type in ("MatMul", "Gemm"):
            count = prod(shapes[node.output[0]]) * shapes[node.input[0]][-1]
        elif node.op_type == "Conv":
            count = prod(shapes[node.output[0]]) * prod(shapes[node.input[1]][1:])
        elif node.op_type == "ConvTranspose":
            count = prod(shapes[node.input[0]]) * prod(shapes[node.input[1]][1:])
        else:
            continue
        found[part_of(node.name) or "other"] += count
    return found


def profiled(bundle: vpp_deploy.Bundle, steps: int) -> dict[str, float]:
    """Each part's share of the time of a step, in a run with ONNX Runtime's profiler.

    Nodes that the runtime made itself are named after the value that they produce, or not at all; the latter count to
    the part of the node that ran before them.
    """
    with TemporaryDirectory() as folder:
        engine = OnnxRuntimeEngine(bundle, profile=Path(folder) / "profile")
        workload = VideoWorkload(engine, None)
        for _ in range(steps + 2):
            workload()
        events = json.loads(engine.end_profiling()["step"].read_text())
    graph = onnx.load(bundle.engine_folder("onnxruntime") / "step.onnx", load_external_data=False).graph
    producers = {output: node.name for node in graph.node for output in node.output}
    seconds: Counter[str] = Counter()
    part = "other"
    for event in events:
        name = event.get("name", "")
        if event.get("cat") == "Node" and name.endswith("_kernel_time"):
            name = name.removesuffix("_kernel_time").removesuffix("_nchwc")
            part = part_of(producers.get(name, name)) or part
            seconds[part] += event["dur"]
    return {name: seconds[name] / sum(seconds.values()) for name in PARTS}


def matrix_product() -> Callable[[], Mapping[str, float]]:
    """Multiplies two square matrices in ONNX Runtime, with the threads of an engine."""
    square = [_SIDE, _SIDE]
    a, c = (helper.make_tensor_value_info(name, TensorProto.FLOAT, square) for name in ("a", "c"))
    weights = onnx.numpy_helper.from_array(np.ones(square, np.float32) / _SIDE, "b")  # constant, as weights are
    graph = helper.make_graph([helper.make_node("MatMul", ["a", "b"], ["c"])], "product", [a], [c], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), session_options(None), providers=["CPUExecutionProvider"]
    )
    feed = {"a": np.random.default_rng(0).standard_normal(square).astype(np.float32)}

    def run() -> Mapping[str, float]:
        begin = perf_counter()
        for _ in range(4):
            session.run(None, feed)
        return {"product": (perf_counter() - begin) / 4}

    return run


def prepare(arguments: argparse.Namespace, keep: str) -> vpp_deploy.Bundle:
    """A bundle with an engine, from an earlier run where there is one."""
    height, width = (int(side) for side in arguments.size.split("x"))
    path = arguments.out / f"{arguments.model}-{keep}-{arguments.size}.bundle"
    if not path.exists():
        print(f"exporting {path.name}", flush=True)
        weights = vpp_deploy.RandomWeights()
        vpp_deploy.export(arguments.model, out=path, random_weights=weights, keep=keep, size=(height, width))
    bundle = vpp_deploy.Bundle.open(path)
    vpp_deploy.build_engine(bundle)
    return bundle


def measure(bundles: Mapping[str, vpp_deploy.Bundle], rounds: int) -> tuple[dict[str, Step], list[float]]:
    """The steps of the bundles and the matrix product, in turn; then the profiles."""
    loads = [VideoWorkload(vpp_deploy.load_engine(bundle), None) for bundle in bundles.values()]
    times, parts = alternate([*loads, matrix_product()], rounds, lambda done: None)
    steps = {
        name: Step(times[number], parts[number]["engine"], profiled(bundle, 4), arithmetic(bundle))
        for number, (name, bundle) in enumerate(bundles.items())
    }
    return steps, parts[-1]["product"]


def figures(dense: Step, pruned: Step, product: list[float]) -> Iterator[tuple[str, float, str]]:
    """The comparisons that matter, all of this run: what, how much, and its unit."""
    rate = _SIDE**3 / summary(product).median
    yield "rate of large matrix products", rate / 1e9, "G/s"
    for name, step in (("dense", dense), ("pruned", pruned)):
        yield (
            f"{name}: engine over the floor",
            summary(step.engine).median / (sum(step.arithmetic.values()) / rate),
            "x",
        )
    speedup: Ratio = ratio(dense.seconds, pruned.seconds)
    yield "pruned over dense, speed-up of the step", speedup.value, "x"
    before, after = summary(dense.engine).median, summary(pruned.engine).median
    blocks = before * dense.shares[BLOCKS]
    least = before - blocks * (1 - pruned.arithmetic[BLOCKS] / dense.arithmetic[BLOCKS])
    yield "of the time that pruning can save (Amdahl), saved", 100 * (before - after) / (before - least), "%"
    yield "selection, share of a pruned step", 100 * pruned.shares["selection"], "%"
    host = [whole - engine for whole, engine in zip(pruned.seconds, pruned.engine, strict=True)]
    yield "host, share of a pruned step", 100 * summary(host).median / summary(pruned.seconds).median, "%"


def table(steps: Mapping[str, Step], title: str) -> Table:
    """Parts as rows; milliseconds and G multiply-accumulates of each bundle as columns."""
    drawn = Table(title=title, title_justify="left")
    drawn.add_column("part")
    for name in steps:
        drawn.add_column(f"{name}, ms", justify="right")
        drawn.add_column("G MAC", justify="right")
    for part in PARTS:
        cells = []
        for step in steps.values():
            cells += [
                f"{1e3 * summary(step.engine).median * step.shares[part]:.1f}",
                f"{step.arithmetic[part] / 1e9:.2f}",
            ]
        drawn.add_row(part, *cells)
    drawn.add_section()
    cells = []
    for step in steps.values():
        cells += [f"{1e3 * summary(step.engine).median:.1f}", f"{sum(step.arithmetic.values()) / 1e9:.2f}"]
    drawn.add_row("engine", *cells)
    return drawn


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="vpp-small")
    parser.add_argument("--keep", default="0.4", help="keep schedule compared with dense")
    parser.add_argument("--size", default="384x640", help="height x width in pixels")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path, default=Path("bench-output"), help="where bundles are kept between runs")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    arguments.out.mkdir(exist_ok=True)
    bundles = {"dense": prepare(arguments, "dense"), arguments.keep: prepare(arguments, arguments.keep)}
    steps, product = measure(bundles, arguments.rounds)
    machine = describe_machine()
    title = (
        f"{arguments.model} at {arguments.size}, medians of {arguments.rounds} rounds in turn, {machine['processor']}"
    )
    Console(width=120).print(table(steps, title))
    found = list(figures(steps["dense"], steps[arguments.keep], product))
    for what, value, unit in found:
        print(f"{what:52} {value:8.2f} {unit}")
    if arguments.json:
        content: dict[str, Any] = {
            "command": shlex.join(["python", "-m", "benchmarks.step", *sys.argv[1:]]),
            "machine": machine,
            "figures": {what: [value, unit] for what, value, unit in found},
            "steps": {name: vars(step) for name, step in steps.items()},
            "product_seconds": product,
        }
        arguments.json.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
