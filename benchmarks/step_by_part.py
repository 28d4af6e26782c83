"""Time of a step by part: ONNX Runtime against the PyTorch reference, dense and pruned, alternating in one run.

    python -m benchmarks.step_by_part --model vpp-small --keep 0.4 --size 384x640 --frames 12

Weights are random (time does not depend on them), frames are synthetic. Totals are measured without a profiler; the
parts are a profiled run's shares of them. The first step of every session warms it up and is not counted.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections import Counter
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
from benchmarks.parts import PARTS, onnxruntime_parts, torch_parts
from vpp_deploy.demo.scenes import render_clip
from vpp_deploy.engines.onnxruntime.engine import OnnxRuntimeEngine
from vpp_deploy.families.vpp.reference import TorchEngine
from vpp_deploy.tasks.segmentation.session import VideoSession

WARM_UP = 2
"""The init step, and the first step that uses a state."""


def prepare(arguments: argparse.Namespace, keep: str) -> vpp_deploy.Bundle:
    """A bundle with an engine, from an earlier run where there is one."""
    path = arguments.out / f"{arguments.model}-{keep}-{arguments.size[0]}x{arguments.size[1]}.bundle"
    if not path.exists():
        print(f"exporting {path.name}", flush=True)
        bundle = vpp_deploy.export(
            arguments.model, out=path, random_weights=vpp_deploy.RandomWeights(), keep=keep, size=arguments.size
        )
    bundle = vpp_deploy.Bundle.open(path)
    vpp_deploy.build_engine(bundle)
    return bundle


def measure(bundles: dict[str, vpp_deploy.Bundle], frames: list[np.ndarray]) -> dict[str, dict[str, Any]]:
    """Alternating, frame by frame: every session sees a frame before any sees the next one."""
    sessions = {}
    for keep, bundle in bundles.items():
        sessions["onnxruntime", keep] = VideoSession(vpp_deploy.load_engine(bundle))
        sessions["torch", keep] = VideoSession(TorchEngine(bundle))
    times: dict[tuple[str, str], list[tuple[float, float]]] = {key: [] for key in sessions}
    for number, frame in enumerate(frames):
        for key, session in sessions.items():
            seconds = session(frame).seconds
            if number >= WARM_UP:
                times[key].append((seconds["engine"], seconds["host"]))
    shares = {}
    for keep, bundle in bundles.items():
        shares["onnxruntime", keep] = onnxruntime_shares(bundle, frames)
        shares["torch", keep] = torch_shares(bundle, frames)
    return {
        f"{backend} {keep}": summary(times[backend, keep], shares[backend, keep]) for keep, backend in ordered(bundles)
    }


def ordered(bundles: dict[str, vpp_deploy.Bundle]) -> list[tuple[str, str]]:
    """Columns of the table."""
    return [(keep, backend) for backend in ("torch", "onnxruntime") for keep in bundles]


def onnxruntime_shares(bundle: vpp_deploy.Bundle, frames: list[np.ndarray]) -> Counter[str]:
    """Seconds by part of a profiled run."""
    engine = OnnxRuntimeEngine(bundle, profile=bundle.path.parent / "profile")
    session = VideoSession(engine)
    for frame in frames:
        session(frame)
    profile = engine.end_profiling()["step"]
    parts = onnxruntime_parts(profile, bundle.engine_folder("onnxruntime") / "step.onnx")
    for path in bundle.path.parent.glob("profile-*.json"):
        path.unlink()
    return parts


def torch_shares(bundle: vpp_deploy.Bundle, frames: list[np.ndarray]) -> Counter[str]:
    """Seconds by part of a timed run."""
    engine = TorchEngine(bundle)
    session = VideoSession(engine)
    for frame in frames[:WARM_UP]:
        session(frame)
    with torch_parts(engine.graph) as timer:
        for frame in frames[WARM_UP:]:
            session(frame)
    return timer.seconds


def summary(times: list[tuple[float, float]], parts: Counter[str]) -> dict[str, Any]:
    """Median milliseconds of a step, by part."""
    engine, host = (1e3 * median(column) for column in zip(*times, strict=True))
    profiled = sum(parts.values())
    return {
        "step_ms": engine + host,
        "host_ms": host,
        "parts_ms": {part: engine * parts[part] / profiled for part in PARTS},
    }


def table(results: dict[str, dict[str, Any]], title: str) -> Table:
    """Parts as rows, engines as columns: milliseconds and share of the step."""
    drawn = Table(title=title, title_justify="left")
    drawn.add_column("milliseconds a frame")
    for name in results:
        drawn.add_column(name, justify="right")

    def cell(value: float, total: float) -> str:
        return f"{value:7.1f}  {value / total:5.1%}"

    for part in PARTS:
        drawn.add_row(part, *(cell(result["parts_ms"][part], result["step_ms"]) for result in results.values()))
    drawn.add_row("host", *(cell(result["host_ms"], result["step_ms"]) for result in results.values()))
    drawn.add_section()
    drawn.add_row("step", *(f"{result['step_ms']:7.1f}       " for result in results.values()))
    return drawn


def ratios(results: dict[str, dict[str, Any]], keep: str) -> dict[str, float]:
    """The comparisons that matter, all from this run."""
    step = {name: result["step_ms"] for name, result in results.items()}
    pruned = results[f"onnxruntime {keep}"]
    return {
        f"torch {keep} / onnxruntime {keep}": step[f"torch {keep}"] / step[f"onnxruntime {keep}"],
        "torch dense / onnxruntime dense": step["torch dense"] / step["onnxruntime dense"],
        f"onnxruntime dense / onnxruntime {keep}": step["onnxruntime dense"] / step[f"onnxruntime {keep}"],
        "ViT blocks, onnxruntime dense / pruned": results["onnxruntime dense"]["parts_ms"]["ViT blocks"]
        / pruned["parts_ms"]["ViT blocks"],
        "selection + association, share of a pruned step": pruned["parts_ms"]["selection + association"]
        / pruned["step_ms"],
        "host, share of a pruned step": pruned["host_ms"] / pruned["step_ms"],
    }


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="vpp-small")
    parser.add_argument("--keep", default="0.4", help="keep schedule compared with dense")
    parser.add_argument("--size", default="384x640", help="height x width in pixels")
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--out", type=Path, default=Path("bench-output"), help="where bundles are kept between runs")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    arguments.size = tuple(int(side) for side in arguments.size.split("x"))
    arguments.out.mkdir(exist_ok=True)

    bundles = {keep: prepare(arguments, keep) for keep in ("dense", arguments.keep)}
    frames = list(render_clip("val", 0, 0, frames=arguments.frames + WARM_UP, size=arguments.size).frames)
    results = measure(bundles, frames)
    machine = f"{platform.machine()}, {torch.get_num_threads()} threads"
    versions = f"onnxruntime {onnxruntime.__version__}, torch {torch.__version__}"
    size = f"{arguments.size[0]}x{arguments.size[1]}"
    title = f"{arguments.model} at {size}, {arguments.frames} frames, {machine}, {versions}"
    console = Console(width=150)
    console.print(table(results, title))
    compared = ratios(results, arguments.keep)
    for name, value in compared.items():
        print(f"{name:55} {value:.1%}" if "share" in name else f"{name:55} {value:.2f}x")
    if arguments.json:
        when = datetime.now(UTC).isoformat(timespec="seconds")
        content = {"date": when, "title": title, "results": results, "ratios": compared}
        arguments.json.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
