"""What a model found in a video: made by a session, and kept in a work folder."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from statistics import fmean

from pydantic import BaseModel, ConfigDict, ValidationError

from vpp_deploy.bundle.segmentation_manifest import SegmentationManifest
from vpp_deploy.errors import DatasetError, OutputError
from vpp_deploy.files.atomic import atomic_file
from vpp_deploy.files.outputs import make_folder
from vpp_deploy.files.reading import read_bytes
from vpp_deploy.tasks.segmentation.evaluation.annotations import MOST_BYTES
from vpp_deploy.tasks.segmentation.evaluation.coverage import count_kept, object_patches
from vpp_deploy.tasks.segmentation.evaluation.dataset import Video
from vpp_deploy.tasks.segmentation.evaluation.masks import box_of
from vpp_deploy.tasks.segmentation.results import FrameResult
from vpp_deploy.tasks.segmentation.session import VideoSession
from vpp_deploy.tasks.segmentation.writers import Rle, YouTubeVisTracks, encode_mask


class TrackPrediction(BaseModel):
    """An object through a video: category id of the data set, score in [0, 1], mask of each frame or None."""

    model_config = ConfigDict(frozen=True)

    category_id: int
    score: float
    segmentations: list[Rle | None]


class Detection(BaseModel):
    """An object in one frame: category id of the data set, score in [0, 1], `x, y, width, height`, mask."""

    model_config = ConfigDict(frozen=True)

    category_id: int
    score: float
    box: list[float]
    segmentation: Rle


class VideoPredictions(BaseModel):
    """Everything that was found in a video.

    Attributes:
        tracks: the objects.
        frames: of each frame, the objects with their score in it. One without a pixel is left out.
        kept: by selection point, the share of all tokens kept, of each frame that has the point; None if unknown.
        kept_by_blocks: share of all tokens that a transformer block runs on, mean over the blocks, of each frame.
        objects_kept: by selection point, of each frame that has the point: how many of the patches that annotated
            objects cover were kept, and how many there are.
    """

    model_config = ConfigDict(frozen=True)

    tracks: list[TrackPrediction]
    frames: list[list[Detection]]
    kept: dict[str, list[float]] | None = None
    kept_by_blocks: list[float] | None = None
    objects_kept: dict[str, list[tuple[int, int]]] | None = None


def predict(session: VideoSession, video: Video, categories: Mapping[int, int]) -> VideoPredictions:
    """Run a session over a video. Its tracks are those that `YouTubeVisWriter` submits.

    Args:
        session: at the start of a video.
        video: what to run it on.
        categories: category ids by label; objects with other labels are left out.

    Raises:
        VideoError, DatasetError: a frame cannot be decoded, or is of another size than it should be.
    """
    manifest = session.manifest
    frames: list[list[Detection]] = []
    kept: dict[str, list[float]] = {point.name: [] for point in manifest.pruning_points}
    objects_kept: dict[str, list[tuple[int, int]]] = {point.name: [] for point in manifest.pruning_points}
    kept_by_blocks = []
    submission = YouTubeVisTracks(video.id)
    for frame in video.frames(session.engine.frame_size):
        result = session(frame)
        submission.write(result)
        frames.append(_detections(result, categories))
        for point, ratio in result.keep_ratios.items():
            kept[point].append(ratio)
        kept_by_blocks.append(mean_over_blocks(manifest, result.keep_ratios))
        objects = object_patches(video.masks(frame.index), frame, result.grid)
        for point, counts in count_kept(objects, result.kept).items():
            objects_kept[point].append(counts)
    tracks = [
        TrackPrediction(category_id=categories[label], score=entry["score"], segmentations=entry["segmentations"])
        for entry in submission.entries()
        if (label := entry["category_id"] - 1) in categories
    ]
    return VideoPredictions(
        tracks=tracks, frames=frames, kept=kept, kept_by_blocks=kept_by_blocks, objects_kept=objects_kept
    )


def mean_over_blocks(manifest: SegmentationManifest, keep_ratios: Mapping[str, float]) -> float:
    """Share of all tokens that a block runs on, mean over the blocks, in [0, 1].

    Args:
        manifest: says before which block each selection point is.
        keep_ratios: of the points that were active in a frame, by name.
    """
    from_block = {p.block: keep_ratios[p.name] for p in manifest.pruning_points if p.name in keep_ratios}
    shares = [1.0]
    for block in range(1, manifest.blocks):
        shares.append(from_block.get(block, shares[-1]))
    return fmean(shares)


class PredictionStore:
    """The predictions of one run in a work folder: a file for each video, written whole.

    Args:
        folder: made if needed.
        fingerprint: of everything that the predictions depend on but the frames; each has a folder of its own.

    Raises:
        OutputError: the folder cannot be made.
    """

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self.folder = folder / fingerprint
        make_folder(self.folder, "folder for predictions")

    def load(self, video: Video) -> VideoPredictions | None:
        """The predictions of an earlier run; None if there are none, or the frames have changed since."""
        try:
            data = read_bytes(self._path(video), DatasetError, what="predictions", limit=MOST_BYTES)
            stored = _Stored.model_validate_json(data)
        except (DatasetError, ValidationError):
            return None
        return stored.predictions if stored.frames == video.stamp() else None

    def save(self, video: Video, predictions: VideoPredictions) -> None:
        """Keep the predictions of a video.

        Raises:
            OutputError: they cannot be written.
        """
        path = self._path(video)
        try:
            with atomic_file(path) as file:
                file.write(_Stored(frames=video.stamp(), predictions=predictions).model_dump_json().encode())
        except OSError as error:
            raise OutputError(f"{path}: writing failed: {error.strerror}; is the disk full?") from error

    def clear(self) -> None:
        """Forget the predictions of this run."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def tidy(self) -> None:
        """Remove folders that have nothing in them."""
        with suppress(OSError):
            self.folder.rmdir()
        with suppress(OSError):
            self.folder.parent.rmdir()

    def _path(self, video: Video) -> Path:
        return self.folder / f"{video.id}.json"


class _Stored(BaseModel):
    frames: str
    predictions: VideoPredictions


def _detections(result: FrameResult, categories: Mapping[int, int]) -> list[Detection]:
    instances = result.instances
    found = []
    for mask, score, label in zip(instances.masks, instances.scores, instances.labels, strict=True):
        if int(label) in categories and mask.any():
            rle = encode_mask(mask)
            found.append(
                Detection(category_id=categories[int(label)], score=float(score), box=box_of(rle), segmentation=rle)
            )
    return found
