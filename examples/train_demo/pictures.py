"""The README's pictures: `python -m examples.train_demo.pictures strip|curve`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer
from PIL import Image

import vpp_deploy as vd
from vpp_deploy.demo.scenes import render_clip
from vpp_deploy.frames import Frame
from vpp_deploy.media.letterbox import letterbox
from vpp_deploy.tasks.segmentation import overlay

app = typer.Typer(add_completion=False)
GAP = 6
CLIP_FRAMES = 24
CLIP_SIZE = (512, 768)
COLUMN_WIDTH = 320


@app.command()
def strip(
    bundle: Annotated[Path, typer.Argument(help="Bundle with an ONNX Runtime engine.")],
    out: Annotated[Path, typer.Option("-o", "--output", help="PNG to write.")],
    seed: Annotated[int, typer.Option(help="Seed of the clip, in the split val.")] = 0,
    index: Annotated[int, typer.Option(help="Number of the clip.")] = 0,
    columns: Annotated[int, typer.Option(help="Frames to show.")] = 4,
) -> None:
    """Rows of frames from one clip: input, kept patches, masks with identities."""
    opened = vd.Bundle.open(bundle)
    engine = vd.load_engine(opened, "onnxruntime")
    shown = np.linspace(0, CLIP_FRAMES - 1, columns).round().astype(int).tolist()
    rows: list[list[Image.Image]] = [[], [], []]
    with vd.VideoSession(engine) as session:
        for number, picture in enumerate(render_clip("val", seed, index, frames=CLIP_FRAMES, size=CLIP_SIZE).frames):
            image, content = letterbox(picture, engine.frame_size)
            frame = Frame(image, content, picture, number)
            result = session(frame)
            if number in shown:
                kept, masks = Image.fromarray(picture), Image.fromarray(picture)
                overlay.dim_pruned(kept, frame, result)
                for row in range(len(result.instances)):
                    overlay.paint_mask(masks, result.instances, row)
                    overlay.draw_label(masks, result.instances, row, opened.manifest.class_names)
                for images, panel in zip(rows, (Image.fromarray(picture), kept, masks), strict=True):
                    images.append(panel)
    _save(_tiled(rows), out)


@app.command()
def curve(
    reports: Annotated[list[Path], typer.Argument(help="JSON files that `vpp-deploy evaluate --json` wrote.")],
    out: Annotated[Path, typer.Option("-o", "--output", help="PNG to write.")],
) -> None:
    """AP against the share of tokens that the blocks run on, a line for each engine."""
    from matplotlib import pyplot as plt

    runs: list[dict[str, Any]] = [run for path in reports for run in json.loads(path.read_text())["runs"]]
    figure, panel = plt.subplots(figsize=(7, 4.2))
    styles = {"torch": ("o-", 6.0, "PyTorch"), "onnxruntime": ("x--", 9.0, "ONNX Runtime")}
    for metric, colour, label in (("ap_track", "tab:blue", "AP track"), ("map_segm", "tab:orange", "mAP segm")):
        for engine, (style, size, name) in styles.items():
            points = sorted((run["kept_by_blocks"], run[metric]) for run in runs if run["engine"] == engine)
            if points:
                panel.plot(*zip(*points, strict=True), style, color=colour, markersize=size, label=f"{label}, {name}")
    panel.set_xlabel("share of tokens in the transformer blocks, mean over blocks and frames")
    panel.set_ylabel("average precision, %")
    panel.grid(alpha=0.3)
    panel.legend()
    figure.tight_layout()
    figure.savefig(out, dpi=110)


def _tiled(rows: list[list[Image.Image]]) -> npt.NDArray[np.uint8]:
    height = COLUMN_WIDTH * CLIP_SIZE[0] // CLIP_SIZE[1]
    canvas = Image.new(
        "RGB", (len(rows[0]) * (COLUMN_WIDTH + GAP) - GAP, len(rows) * (height + GAP) - GAP), (255, 255, 255)
    )
    for row, images in enumerate(rows):
        for column, image in enumerate(images):
            small = image.resize((COLUMN_WIDTH, height), Image.Resampling.LANCZOS)
            canvas.paste(small, (column * (COLUMN_WIDTH + GAP), row * (height + GAP)))
    return np.asarray(canvas)


def _save(picture: npt.NDArray[np.uint8], out: Path) -> None:
    Image.fromarray(picture).quantize(256, dither=Image.Dither.FLOYDSTEINBERG).save(out, optimize=True)


if __name__ == "__main__":
    app()
