"""Read images and videos for a classifier."""

from __future__ import annotations

import os
from functools import partial

from vpp_deploy.arguments import checked
from vpp_deploy.bundle.classification_manifest import ClassificationManifest
from vpp_deploy.media.reader import VideoReader
from vpp_deploy.tasks.classification.resize import resize_and_crop


@checked
def read_pictures(
    path: str | os.PathLike[str] | int,
    manifest: ClassificationManifest,
    max_frames: int | None = None,
    *,
    stream: int | None = None,
    max_pixels: int | None = None,
) -> VideoReader:
    """Open images or a video for one pass, each picture resized as a classifier takes it.

    Args:
        path: an image, a folder of images (natural order), or a video file that FFmpeg can decode. For a model of
            images the pictures may differ in size; for a model of clips they are one video and may not.
        manifest: of the classifier's bundle.
        max_frames: stop after this many pictures; None reads all.
        stream: index of the video stream among all streams of the file; None takes the film.
        max_pixels: the most pixels that a picture of the source may have; None for 178,956,970.

    Returns:
        An iterator and context manager of `Frame`. It closes itself at the end.

    Raises:
        VideoError, DependencyError, UsageError: as `read_video` does.
    """
    return VideoReader(
        path,
        manifest.frame_size,
        max_frames=max_frames,
        stream=stream,
        max_pixels=max_pixels,
        resize=partial(resize_and_crop, preprocessing=manifest.preprocessing),
        mixed_sizes=manifest.clip is None,
    )
