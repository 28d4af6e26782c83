"""The pictures of overlays in README and docs.

    python tools/overlay_pictures.py demo.bundle vit.bundle docs/pictures

Writes `strip.png` (input, kept patches and objects of four frames), `overlay.jpg` (one frame as `infer` draws it) and
`classifier.jpg` (the same frame in a classifier's eyes), and prints their names. Both bundles need an ONNX Runtime
engine.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

import vpp_deploy as vd
from vpp_deploy.demo.scenes import render_clip
from vpp_deploy.media.picture_writer import write_picture
from vpp_deploy.tasks.overlay_style import OverlayStyle
from vpp_deploy.tasks.segmentation.options import SHOWN
from vpp_deploy.tasks.segmentation.overlay import Overlay

FRAMES = 24
STRIP = (0, 8, 15, 23)
"""Frames of the strip; the last one is shown alone, too."""
SIZE, COLUMN = (512, 768), (213, 320)
GAP = 6

Picture = npt.NDArray[np.uint8]


def main() -> None:
    """Draw them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("detector", type=Path, help="bundle of vpp-demo")
    parser.add_argument("classifier", type=Path, help="bundle of a classifier")
    parser.add_argument("out", type=Path, help="folder for the pictures")
    parser.add_argument("--seed", type=int, default=11, help="of the clip (default: %(default)s)")
    options = parser.parse_args()
    frames = list(render_clip("val", options.seed, 0, frames=FRAMES, size=SIZE).frames)
    model = vd.load(options.detector)
    *_, whole = _drawn(model, frames, OverlayStyle(SHOWN))
    seen = vd.load(options.classifier)(frames[-1]).plot()
    for name, picture in (("strip.png", _strip(model, frames)), ("overlay.jpg", whole), ("classifier.jpg", seen)):
        if name.endswith(".png"):
            Image.fromarray(picture).quantize(256).save(options.out / name, optimize=True)
        else:
            write_picture(picture, options.out / name)
        sys.stdout.write(f"{options.out / name}\n")


def _drawn(model: Any, frames: list[Picture], style: OverlayStyle) -> list[Picture]:
    height, width = frames[0].shape[:2]
    overlay = Overlay.of(model.manifest, (height, width), style)
    return [overlay(result.frame, result) for result in model.track(frames)]


def _strip(model: Any, frames: list[Picture]) -> Picture:
    """Rows of input, patches and objects; drawn at their own size, so that labels can be read."""
    height, width = COLUMN
    small = [np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.LANCZOS)) for frame in frames]
    patches = OverlayStyle(frozenset({"patches"}), header=False)
    objects = OverlayStyle(SHOWN - {"patches"}, header=False)
    rows = [small, _drawn(model, small, patches), _drawn(model, small, objects)]
    canvas = np.full((len(rows) * (height + GAP) - GAP, len(STRIP) * (width + GAP) - GAP, 3), 255, np.uint8)
    for row, pictures in enumerate(rows):
        for column, index in enumerate(STRIP):
            top, left = row * (height + GAP), column * (width + GAP)
            canvas[top : top + height, left : left + width] = pictures[index]
    return canvas


if __name__ == "__main__":
    main()
