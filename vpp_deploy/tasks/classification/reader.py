"""Read images and videos for a classifier."""

from __future__ import annotations

import os
from functools import partial

from vpp_deploy.bundle.classification_manifest import ClassificationManifest
from vpp_deploy.media.reader import VideoReader
from vpp_deploy.tasks.classification.resize import resize_and_crop


def read_pictures(
    path: str | os.PathLike[str], manifest: ClassificationManifest, max_frames: int | None = None
) -> VideoReader:
    """Open images or a video for one pass, each picture resized as a classifier takes it.

    Args:
        path: an image, a folder of images (natural order), or a video file that FFmpeg can decode. For a model of
            images the pictures may differ in size; for a model of clips they are one video and may not.
        manifest: of the classifier's bundle.
        max_frames: stop after this many pictures; None reads all.

    Returns:
        An iterator and context manager of `Frame`. It closes itself at the end.

    Raises:
        VideoError: as `read_video` does.
        UsageError: `max_frames` is below 1.
    """
    return VideoReader(
        path,
        manifest.frame_size,
        max_frames=max_frames,
        resize=partial(resize_and_crop, preprocessing=manifest.preprocessing),
        mixed_sizes=manifest.clip is None,
    )
