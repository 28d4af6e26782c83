"""What pruning a classifier buys: dense against pruned, engine against PyTorch, alternating in one process.

    python -m benchmarks.classifiers vit-s vit-b dynamicvit:deit_small --batch 8 --rounds 10

Weights are random (time does not depend on them), pictures are noise. Every round runs every variant once; figures are
medians over the rounds of the ratio to the dense variant of the same kind in the same round. *Efficiency* is that
speed-up over the ratio of the multiply-accumulates, proposal included: 1 means that pruning saves all the time that it
saves work. Models are those named below, or any name that `vpp-deploy models` lists.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnxruntime
import torch
from rich.console import Console
from rich.table import Table

import vpp_deploy
from vpp_deploy.benchmark.environment import processor
from vpp_deploy.bundle.classification_manifest import ClassificationManifest
from vpp_deploy.exporters.classifier import ClassifierReference

MODELS = {
    "vit-s": "papr:vit_small_patch16_224.augreg_in21k_ft_in1k",
    "vit-b": "papr:vit_base_patch16_224.augreg_in21k_ft_in1k",
    "convnext-b": "papr:convnext_base.fb_in1k",
    "swin-b": "papr:swin_base_patch4_window7_224.ms_in1k",
    "videomae-b": "papr:videomae_base",
}
DENSE = 1.0
WARM_UP = 2
Run = Callable[[], object]


def prepare(model: str, keep: float, batch: int, out: Path) -> vpp_deploy.Bundle:
    """A bundle with an engine, from an earlier run where there is one."""
    path = out / f"{model.replace(':', '-')}-{keep:g}-batch{batch}.bundle"
    if not path.exists():
        print(f"exporting {path.name}", flush=True)
        name, weights = MODELS.get(model, model), vpp_deploy.RandomWeights()
        vpp_deploy.export(name, out=path, keep=f"{keep:g}", random_weights=weights, batch=batch)
    bundle = vpp_deploy.Bundle.open(path)
    vpp_deploy.build_engine(bundle)
    return bundle


def variants(bundles: dict[float, vpp_deploy.Bundle], compiled: bool) -> Iterator[tuple[tuple[str, float], Run]]:
    """Everything that is timed: (kind, keep ratio) and a function that runs it once."""
    (spec,) = bundles[DENSE].manifest.graphs["model"].inputs
    pixels = np.random.default_rng(0).integers(0, 256, spec.shape, dtype=np.uint8)
    tensor = torch.from_numpy(pixels)
    for keep, bundle in bundles.items():
        stream = vpp_deploy.load_engine(bundle).open_stream()
        yield ("engine", keep), lambda stream=stream: stream.run({spec.name: pixels})
    for keep, bundle in bundles.items():
        reference = vpp_deploy.open_reference(bundle)
        assert isinstance(reference, ClassifierReference)
        graph = reference.graph
        yield ("PyTorch", keep), lambda graph=graph: graph(tensor)
        if compiled and keep != DENSE:
            fast = torch.compile(graph)
            yield ("torch.compile", keep), lambda fast=fast: fast(tensor)


@torch.inference_mode()
def measure(runs: dict[tuple[str, float], Run], rounds: int) -> dict[tuple[str, float], list[float]]:
    """Seconds of each round, alternating."""
    times: dict[tuple[str, float], list[float]] = {key: [] for key in runs}
    for number in range(WARM_UP + rounds):
        for key, run in runs.items():
            start = time.perf_counter()
            run()
            if number >= WARM_UP:
                times[key].append(time.perf_counter() - start)
    return times


def figures(
    times: dict[tuple[str, float], list[float]], bundles: dict[float, vpp_deploy.Bundle]
) -> list[dict[str, Any]]:
    """A row per variant."""
    rows = []
    for (kind, keep), seconds in times.items():
        cost = ClassificationManifest.of(bundles[keep].manifest, "this benchmark").cost
        dense = times["engine" if kind == "engine" else "PyTorch", DENSE]
        speed_up = median(a / b for a, b in zip(dense, seconds, strict=True))
        flops = cost.dense / cost.pruned if keep != DENSE else 1.0
        rows.append(
            {
                "kind": kind,
                "keep": keep,
                "milliseconds": 1e3 * median(seconds),
                "gflops": (cost.pruned if keep != DENSE else cost.dense) / 1e9,
                "speed_up": speed_up,
                "flop_ratio": flops,
                "efficiency": speed_up / flops,
                "engine_speed_up": median(a / b for a, b in zip(seconds, times["engine", keep], strict=True)),
            }
        )
    return rows


def table(model: str, rows: list[dict[str, Any]], title: str) -> Table:
    """The rows for a terminal."""
    drawn = Table(title=f"{model}: {title}", title_justify="left")
    for column in ("", "keep", "GFLOPs", "ms a batch", "speed-up", "FLOP ratio", "efficiency", "engine is faster by"):
        drawn.add_column(column, justify="left" if not column else "right")
    for row in rows:
        pruned = row["keep"] != DENSE
        drawn.add_row(
            row["kind"],
            f"{row['keep']:g}" if pruned else "dense",
            f"{row['gflops']:.2f}",
            f"{row['milliseconds']:.1f}",
            f"{row['speed_up']:.2f}x" if pruned else "",
            f"{row['flop_ratio']:.2f}x" if pruned else "",
            f"{row['efficiency']:.2f}" if pruned else "",
            f"{row['engine_speed_up']:.2f}x" if row["kind"] != "engine" else "",
        )
    return drawn


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL", help=", ".join(MODELS))
    parser.add_argument("--keep", type=float, nargs="+", default=[0.5, 0.4, 0.3])
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--out", type=Path, default=Path("bench-output"), help="where bundles are kept between runs")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    arguments.out.mkdir(exist_ok=True)
    title = (
        f"batch {arguments.batch}, {arguments.rounds} rounds, {processor()}, {torch.get_num_threads()} threads, "
        f"onnxruntime {onnxruntime.__version__}, torch {torch.__version__}"
    )
    results = {}
    for model in arguments.models or MODELS:
        bundles = {keep: prepare(model, keep, arguments.batch, arguments.out) for keep in (DENSE, *arguments.keep)}
        runs = dict(variants(bundles, not arguments.no_compile))
        results[model] = figures(measure(runs, arguments.rounds), bundles)
        Console(width=130).print(table(model, results[model], title))
    if arguments.json:
        when = datetime.now(UTC).isoformat(timespec="seconds")
        command = shlex.join(["python", "-m", "benchmarks.classifiers", *sys.argv[1:]])
        record = {"date": when, "command": command, "title": title, "models": results}
        arguments.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
