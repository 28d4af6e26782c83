"""The whole way on a synthetic clip, with the weights that come with the package: export, build, infer, parity."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from time import perf_counter
from typing import Final

from vpp_deploy.bundle import Bundle
from vpp_deploy.demo.scenes import render_clip
from vpp_deploy.engines import BACKENDS, TensorRtBuildOptions, build_engine
from vpp_deploy.engines.protocols import Engine
from vpp_deploy.errors import DependencyError, OutputError
from vpp_deploy.families import export
from vpp_deploy.files.outputs import OutputFile, make_folder
from vpp_deploy.frames import Size
from vpp_deploy.media.input_file import InputFile
from vpp_deploy.media.writer import VideoWriter
from vpp_deploy.parity.report_common import store
from vpp_deploy.report.needs import require
from vpp_deploy.tasks import check_parity
from vpp_deploy.tasks.segmentation.parity.report import ParityReport
from vpp_deploy.tasks.segmentation.run import Outputs, VideoSummary, run_video
from vpp_deploy.tasks.segmentation.session import VideoSession

MODEL: Final = "vpp-demo"
KEEP: Final = "0.55"
CLIP_SPLIT: Final = "val"
CLIP_SEED: Final = 4
CLIP_SIZE: Final[Size] = (512, 768)
CLIP_FRAMES: Final = 48
CLIP_RATE: Final = 12
PARITY_FRAMES: Final = 8
COMPUTE_CAPABILITY: Final = "8.9"

_BUNDLE: Final = "demo.bundle"
_RESULTS: Final = {_BUNDLE, "clip.mp4", "parity.json", "report.html", "tracked.jsonl", "tracked.mp4"}

Report = Callable[[str], None]
"""Called with a line when a step begins or has something to say."""


@dataclass(frozen=True, slots=True)
class DemoResult:
    """Where everything lies.

    Attributes:
        clip: the synthetic video.
        bundle: the exported model, with its engines.
        engines: backends that were built.
        tracked: the clip with the overlay.
        json_lines: the results, one line per frame.
        parity_report: the parity check, JSON.
        page: all of it to look at, HTML; None where what a report needs is not installed.
        summary: how the inference went.
        seconds: wall time of the demo.
    """

    clip: Path
    bundle: Bundle
    engines: tuple[str, ...]
    tracked: Path
    json_lines: Path
    parity_report: Path
    page: Path | None
    summary: VideoSummary
    seconds: float


def run_demo(out: Path | str, *, report: Report = lambda line: None) -> DemoResult:
    """Make a clip and a bundle of the demo model, build its engines, run one, and check its parity.

    Args:
        out: folder for the results; it is made if needed, and results of an earlier demo are replaced.
        report: see `Report`.

    Raises:
        OutputError: the folder cannot be written to, or holds files of others under the results' names.
        ParityError: the engine does not compute what PyTorch computes; the report is written nevertheless.
        VppDeployError: whatever else a step raises.
    """
    begin = perf_counter()
    folder = make_demo_folder(Path(out))
    clip, tracked, json_lines = folder / "clip.mp4", folder / "tracked.mp4", folder / "tracked.jsonl"

    report(f"making a clip of {CLIP_FRAMES} frames")
    _write_clip(clip)
    report(f"exporting {MODEL}, keep schedule {KEEP}")
    bundle = export(MODEL, keep=KEEP, out=folder / _BUNDLE, overwrite=True)
    engine, engines = _build(bundle, report)
    report(f"running {CLIP_FRAMES} frames on ONNX Runtime")
    summary = run_video(VideoSession(engine), clip, Outputs(video=tracked, json_lines=json_lines))
    report(f"checking parity with PyTorch on {PARITY_FRAMES} frames")
    parity_report, page = folder / "parity.json", folder / "report.html"
    parity = _check_parity(bundle, engine, clip, parity_report)
    written = page if _write_page(page, bundle, engine, clip, parity, tracked, report) else None
    parity.raise_for_failure()
    return DemoResult(
        clip, bundle, engines, tracked, json_lines, parity_report, written, summary, seconds=perf_counter() - begin
    )


def _write_clip(path: Path) -> None:
    pictures = render_clip(CLIP_SPLIT, CLIP_SEED, 0, frames=CLIP_FRAMES, size=CLIP_SIZE).frames
    with VideoWriter(path, CLIP_SIZE, CLIP_RATE) as writer:
        for index, picture in enumerate(pictures):
            writer.write(picture, Fraction(index, CLIP_RATE))


def _check_parity(bundle: Bundle, engine: Engine, clip: Path, target: Path) -> ParityReport:
    parity: ParityReport = check_parity(bundle, engine, clip, frames=PARITY_FRAMES)
    store(bundle, parity)
    output = OutputFile(target)
    output.write((json.dumps(parity.to_dict(), indent=2, allow_nan=False) + "\n").encode())
    output.commit()
    return parity


def _write_page(
    target: Path, bundle: Bundle, engine: Engine, clip: Path, parity: ParityReport, tracked: Path, report: Report
) -> bool:
    """Whether what a report needs is installed, and so it was written."""
    try:
        require()
    except DependencyError as error:
        report(f"no report: {error}")
        return False
    from vpp_deploy.report.check import measured_by
    from vpp_deploy.report.page import PageFile
    from vpp_deploy.report.pictures import video_url

    report("writing the report")
    with PageFile(target) as page:
        measured = measured_by(parity.to_dict(), engine, InputFile(clip))
        page.write(bundle, replace(measured, video=video_url(tracked)))
    return True


def make_demo_folder(folder: Path) -> Path:
    """Make the folder for a demo's results, where it is not there yet.

    Raises:
        OutputError: it cannot be made, or holds files of others under the results' names.
    """
    make_folder(folder)
    try:
        there = {path.name for path in folder.iterdir()}
    except OSError as error:
        raise OutputError(f"cannot look into {folder}: {error.strerror}; choose another place") from error
    if there & _RESULTS and there - _RESULTS and _BUNDLE not in there:
        taken = min(there & _RESULTS)
        raise OutputError(f"{folder / taken} is not of a demo, and would be replaced: choose another folder")
    return folder


def _build(bundle: Bundle, report: Report) -> tuple[Engine, tuple[str, ...]]:
    """The ONNX Runtime engine, and the backends that were built: TensorRT-RTX too, where it is installed."""
    report("building the ONNX Runtime engine")
    engine = build_engine(bundle, "onnxruntime")
    if BACKENDS["tensorrt-rtx"].version() is None:
        return engine, ("onnxruntime",)
    report(f"building the TensorRT-RTX engine for compute capability {COMPUTE_CAPABILITY}, without a GPU")
    build_engine(bundle, "tensorrt-rtx", TensorRtBuildOptions(compute_capabilities=(COMPUTE_CAPABILITY,)))
    return engine, ("onnxruntime", "tensorrt-rtx")
