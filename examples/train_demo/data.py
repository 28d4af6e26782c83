"""Pre-rendered training clips as memory maps, and augmented batches drawn from them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from vpp_deploy.demo.scenes import render_clip
from vpp_deploy.families.vpp.config import IMAGE_MEAN, IMAGE_STD, PATCH_SIZE

MASK_STRIDE = 4
BACKGROUND, MIXED = -1, -2
MIN_PIXELS = 48
"""Objects with less visible pixels in a frame are no targets there."""
CROP_SCALES = (0.5, 0.8)
"""A training size below the clips' own is a crop, shrunk by a factor from this range."""


@dataclass(frozen=True)
class ClipSet:
    """What the rendered clips are made from; two equal ones hold the same bytes.

    Attributes:
        clips: number of clips.
        frames: consecutive frames of each.
        size: height and width in pixels.
        seed: seed of the scenes, in the training split.
        max_objects: rows of the label table.
    """

    clips: int
    frames: int = 3
    size: tuple[int, int] = (256, 384)
    seed: int = 0
    max_objects: int = 8


class Targets(NamedTuple):
    """What one frame of a batch should become; M object slots, which an object keeps through the clip.

    Attributes:
        masks: `[B, M, h/4, w/4]` share of each cell that the object covers, in [0, 1].
        labels: `[B, M]` class numbers.
        valid: `[B, M]` bool, whether the object is there and large enough.
        pixel_classes: `[B, h/4, w/4]` class numbers, `classes` for background.
        coverage: `[B, N]` share of each patch that objects cover, in [0, 1].
        patches: `[B, N]` what a patch shows: the slot of an object that covers half of it or more, `BACKGROUND` without
            any object, else `MIXED`.
    """

    masks: Tensor
    labels: Tensor
    valid: Tensor
    pixel_classes: Tensor
    coverage: Tensor
    patches: Tensor


class Frame(NamedTuple):
    """One frame of a batch: normalised images `[B, 3, h, w]` and their targets."""

    images: Tensor
    targets: Targets


class Clips:
    """Rendered clips on disk.

    Args:
        folder: where they lie, or are rendered to on first use.
        clip_set: what to render.
        workers: processes that render.
    """

    def __init__(self, folder: Path, clip_set: ClipSet, workers: int) -> None:
        self.clip_set = clip_set
        marker = folder / "clips.json"
        wanted = json.dumps(asdict(clip_set))
        if not (marker.is_file() and marker.read_text() == wanted):
            marker.unlink(missing_ok=True)
            _render(folder, clip_set, workers)
            marker.write_text(wanted)
        self._frames, self._identities, self._labels = _maps(folder, clip_set, "r")

    def batch(
        self, rng: np.random.Generator, batch: int, frames: int, size: tuple[int, int], classes: int
    ) -> list[Frame]:
        """`frames` consecutive frames of `batch` random clips, flipped, recoloured and cropped at random.

        Args:
            rng: the only source of randomness.
            batch: number of clips B.
            frames: number of frames.
            size: height and width; below the clips' own, a crop is shrunk to it.
            classes: number of classes.
        """
        images, identities, labels = [], [], []
        for clip in rng.integers(self.clip_set.clips, size=batch):
            start = rng.integers(self.clip_set.frames - frames + 1)
            order = slice(start, start + frames)
            image, identity = _augment(rng, self._frames[clip, order], self._identities[clip, order], size)
            images.append(image)
            identities.append(identity)
            labels.append(torch.from_numpy(self._labels[clip].astype(np.int64)))
        clip_images, clip_identities, clip_labels = torch.stack(images), torch.stack(identities), torch.stack(labels)
        return [Frame(clip_images[:, t], _targets(clip_identities[:, t], clip_labels, classes)) for t in range(frames)]


def _augment(
    rng: np.random.Generator, frames: npt.NDArray[np.uint8], identities: npt.NDArray[np.uint8], size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Images `[T, 3, h, w]` normalised and identities `[T, h, w]` from `[T, H, W, 3]` and `[T, H, W]`."""
    if tuple(frames.shape[1:3]) != size:
        scale = rng.uniform(*CROP_SCALES)
        window = [min(full, round(side / scale)) for full, side in zip(frames.shape[1:3], size, strict=True)]
        top, left = (rng.integers(full - side + 1) for full, side in zip(frames.shape[1:3], window, strict=True))
        frames = frames[:, top : top + window[0], left : left + window[1]]
        identities = identities[:, top : top + window[0], left : left + window[1]]
    steps = (1, *(int(step) for step in rng.choice([-1, 1], size=3)))
    frames = frames[:: steps[3], :: steps[1], :: steps[2], rng.permutation(3)]
    identities = identities[:: steps[3], :: steps[1], :: steps[2]]
    image = torch.from_numpy(frames.copy()).permute(0, 3, 1, 2).float()
    identity = torch.from_numpy(identities.copy())
    if tuple(image.shape[2:]) != size:
        image = F.interpolate(image, size, mode="bilinear", antialias=True, align_corners=False)
        identity = F.interpolate(identity[:, None], size, mode="nearest-exact")[:, 0]
    mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGE_MEAN, IMAGE_STD))
    return (image - mean) / std, identity


def _targets(identities: Tensor, labels: Tensor, classes: int) -> Targets:
    slots = torch.arange(1, labels.shape[1] + 1)
    full = (identities[:, None] == slots[:, None, None]).float()
    masks = F.avg_pool2d(full, MASK_STRIDE)
    valid = (full.sum((2, 3)) >= MIN_PIXELS) & (labels >= 0)
    masks = masks * valid[..., None, None]
    share, winner = masks.max(dim=1)
    table = labels[:, :, None, None].expand_as(masks)
    pixel_classes = torch.where(share > 0.5, table.gather(1, winner[:, None])[:, 0], classes)
    shares = F.avg_pool2d(full, PATCH_SIZE).flatten(2)
    coverage = shares.sum(1)
    patches = torch.where(shares.amax(1) >= 0.5, shares.argmax(1), torch.where(coverage == 0, BACKGROUND, MIXED))
    return Targets(masks, labels.clamp(min=0), valid, pixel_classes, coverage, patches)


def _maps(folder: Path, clip_set: ClipSet, mode: str) -> tuple[np.memmap, np.memmap, np.memmap]:  # type: ignore[type-arg]
    clips, frames, (h, w) = clip_set.clips, clip_set.frames, clip_set.size
    return (
        np.memmap(folder / "frames.u8", np.uint8, mode, shape=(clips, frames, h, w, 3)),
        np.memmap(folder / "identities.u8", np.uint8, mode, shape=(clips, frames, h, w)),
        np.memmap(folder / "labels.i8", np.int8, mode, shape=(clips, clip_set.max_objects)),
    )


def _render(folder: Path, clip_set: ClipSet, workers: int) -> None:
    from rich.progress import track

    folder.mkdir(parents=True, exist_ok=True)
    _maps(folder, clip_set, "w+")
    chunk = 50
    starts = range(0, clip_set.clips, chunk)
    with ProcessPoolExecutor(workers) as pool:
        jobs = pool.map(_render_chunk, *zip(*_chunks(folder, clip_set, chunk), strict=True))
        for _ in track(jobs, "rendering clips", total=len(starts)):
            pass


def _chunks(folder: Path, clip_set: ClipSet, chunk: int) -> Iterator[tuple[Path, ClipSet, int, int]]:
    for start in range(0, clip_set.clips, chunk):
        yield folder, clip_set, start, min(start + chunk, clip_set.clips)


def _render_chunk(folder: Path, clip_set: ClipSet, start: int, end: int) -> None:
    frames, identities, labels = _maps(folder, clip_set, "r+")
    for index in range(start, end):
        clip = render_clip("train", clip_set.seed, index, frames=clip_set.frames, size=clip_set.size)
        frames[index], identities[index] = clip.frames, clip.identities
        labels[index] = -1
        labels[index, : len(clip.labels)] = clip.labels
