"""`vpp-deploy parity`: does an engine compute what PyTorch computes?"""

from __future__ import annotations

import json as json_module
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from vpp_deploy.cli import console
from vpp_deploy.cli.options import BundleArgument, EngineOption
from vpp_deploy.cli.progress import frame_bar
from vpp_deploy.errors import OutputError

EXAMPLES = (
    "vpp-deploy parity small.bundle --video street.mp4",
    "vpp-deploy parity small.bundle --video street.mp4 --json report.json",
)


def command(
    bundle: BundleArgument,
    video: Annotated[Path, typer.Option(metavar="FILE", help="Video file, or folder of images.", show_default=False)],
    frames: Annotated[int, typer.Option(metavar="N", help="Compare this many frames.", min=1)] = 30,
    engine: EngineOption = "onnxruntime",
    json: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the full report as JSON.", show_default=False)
    ] = None,
) -> None:
    """Run the same frames through PyTorch and an engine, compare every output and state, and note it in the bundle."""
    import vpp_deploy.models.reference  # noqa: F401 - without PyTorch, say so before anything else is done
    from vpp_deploy.bundle import Bundle
    from vpp_deploy.engines import load_engine
    from vpp_deploy.parity import check_parity, render, store

    opened = Bundle.open(bundle)
    loaded = load_engine(opened, engine)
    with _report_file(json) as write:
        with frame_bar() as progress:
            report = check_parity(opened, loaded, video, frames=frames, progress=lambda done: progress(done, frames))
        console.show(render(report))
        write(report.to_dict())
        store(opened, report)
    report.raise_for_failure()


@contextmanager
def _report_file(path: Path | None) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """A function that writes the report. A file that cannot be written fails here, before the frames are run."""
    from vpp_deploy.video.output import OutputFile

    if path is None:
        yield lambda report: None
        return
    output = OutputFile(path)

    def write(report: Mapping[str, Any]) -> None:
        try:
            output.temporary.write_text(json_module.dumps(report, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        except OSError as error:
            raise OutputError(f"{path}: writing failed: {error.strerror}; is the disk full?") from error
        output.commit()

    try:
        yield write
    finally:
        output.discard()
