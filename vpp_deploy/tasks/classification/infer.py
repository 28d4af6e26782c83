"""What `vpp-deploy infer` does: from images or a video to labels."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from os import PathLike
from typing import Final

import numpy as np
from rich.table import Table

from vpp_deploy.engines.protocols import Engine
from vpp_deploy.media.window import Window
from vpp_deploy.tasks.classification.options import RunOptions
from vpp_deploy.tasks.classification.results import ClassificationResult
from vpp_deploy.tasks.classification.run import ClassificationOutputs, ClassificationSummary, run_classification
from vpp_deploy.tasks.classification.session import ClassificationSession
from vpp_deploy.tasks.common import PARTS
from vpp_deploy.tasks.task import RunRequest
from vpp_deploy.terminal import console
from vpp_deploy.terminal.progress import frame_bar

LONGEST_TABLE: Final = 20
"""Images or clips whose labels are printed."""
_LONGEST_NAME: Final = 30


def run(engine: Engine, request: RunRequest, options: RunOptions) -> None:
    """Run images or a video, print the labels if they are not written anywhere, and tell how it went."""
    source, outputs = request.source, ClassificationOutputs(request.output, request.json, options.style)
    session = ClassificationSession(engine, options.top, options.hop)
    unit = "image" if session.manifest.clip is None else "frame"
    first: list[ClassificationResult] = []

    def keep(result: ClassificationResult) -> None:
        if len(first) < LONGEST_TABLE:
            first.append(result)

    with Window(f"vpp-deploy: {source}") if request.show else nullcontext() as window, frame_bar(unit) as progress:
        summary = run_classification(
            session, source, outputs, max_frames=request.max_frames, progress=progress, each=keep, window=window
        )
    if not outputs.paths:
        features = session.manifest.features is not None
        console.show(feature_table(first) if features else label_table(first, session.manifest.class_names))
        if (more := summary.samples - len(first)) > 0:
            console.say(f"… and {more} more, use --json")
        if features:
            console.say("their numbers: -o FILE.npz, or --json FILE")
    show_summary(summary, source, outputs, clips=session.manifest.clip is not None)
    if summary.problem:
        decoded = console.counted(summary.frames, "frame")
        console.warn(f"{summary.problem}; the {decoded} that could be decoded were processed")


def label_table(results: Sequence[ClassificationResult], class_names: Sequence[str]) -> Table:
    """A line for each image or clip: what it is, and its labels with their probabilities."""
    clips = any(len(result.indices) > 1 for result in results)
    table = console.table("frames" if clips else "image", "labels")
    for result in results:
        labels = zip(result.labels.tolist(), result.scores.tolist(), strict=True)
        table.add_row(
            console.one_line(_what(result)),
            console.one_line(
                "   ".join(f"{console.percent(score)} {_short(class_names[label])}" for label, score in labels)
            ),
        )
    return table


def feature_table(results: Sequence[ClassificationResult]) -> Table:
    """A line for each image or clip: how many numbers its embedding has, and how long that is."""
    clips = any(len(result.indices) > 1 for result in results)
    table = console.table("frames" if clips else "image", "features", "norm")
    for result in results:
        if result.features is not None:
            norm = float(np.linalg.norm(result.features))
            table.add_row(console.one_line(_what(result)), str(len(result.features)), f"{norm:.4g}")
    return table


def show_summary(
    summary: ClassificationSummary, source: str | PathLike[str], outputs: ClassificationOutputs, *, clips: bool
) -> None:
    """Print how a run went and what was written."""
    rate = summary.frames / summary.wall_seconds
    size = "several sizes" if summary.original_size is None else console.height_by_width(summary.original_size)
    console.say(
        f"{source}: {console.counted(summary.frames, 'frame' if clips else 'image')} of {size} in "
        f"{summary.wall_seconds:.1f} s, {rate:.1f} per second"
        + (f"; {console.counted(summary.samples, 'clip')}" if clips else "")
    )
    kept = "  ".join(f"{point} {console.percent(ratio)}" for point, ratio in summary.keep_ratios.items())
    parts = "  ".join(f"{part} {1000 * summary.seconds[part] / summary.samples:.1f}" for part in PARTS)
    rows = [("tokens kept", kept or "all (dense)"), (f"ms per {'clip' if clips else 'image'}", f"{parts}  (means)")]
    if outputs.paths:
        rows.append(("written", "\n".join(map(str, outputs.paths))))
    console.show(console.facts(rows))


def _what(result: ClassificationResult) -> str:
    """The file name, or the frames and the time of the first."""
    frames = "–".join(str(index) for index in sorted({result.indices[0], result.indices[-1]}))
    return result.name or (frames if result.time is None else f"{frames} ({float(result.time):.2f} s)")


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1].rstrip(' ,')}…"
