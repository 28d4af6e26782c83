"""A whole video through a session."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import numpy as np

import vpp_deploy
from tests.media.clips import cut, write_clip
from vpp_deploy.engines.protocols import EngineStream
from vpp_deploy.tasks.segmentation.run import run_video


class Recording:
    """A stream that notes the frames that were announced to it, and those that it ran."""

    def __init__(self, stream: EngineStream) -> None:
        self.run_frames: list[np.ndarray] = []
        self.announced: list[tuple[int, np.ndarray]] = []
        self._stream = stream
        self.reset = stream.reset

    def run(self, inputs: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        self.run_frames.append(inputs["frame"])
        return self._stream.run(inputs)

    def prefetch(self, inputs: Mapping[str, np.ndarray]) -> None:
        self.announced.append((len(self.run_frames), inputs["frame"]))


def test_every_frame_but_the_first_is_announced_before_it_is_run(
    micro_bundle: vpp_deploy.Bundle, tmp_path: Path
) -> None:
    video = write_clip(tmp_path / "clip.mp4", frames=4)
    session = vpp_deploy.VideoSession(vpp_deploy.load_engine(micro_bundle, "onnxruntime", threads=1))
    stream = Recording(session.stream)
    session.stream = cast(EngineStream, stream)
    summary = run_video(session, video, max_frames=3)
    assert summary.frames == len(stream.run_frames) == 3
    assert [after for after, _ in stream.announced] == [1, 2]
    assert all(announced is stream.run_frames[after] for after, announced in stream.announced)


def test_what_can_be_decoded_of_a_damaged_video_is_run(micro_bundle: vpp_deploy.Bundle, tmp_path: Path) -> None:
    video = cut(write_clip(tmp_path / "clip.mkv", frames=12, noise=True), 0.6)
    session = vpp_deploy.VideoSession(vpp_deploy.load_engine(micro_bundle, "onnxruntime", threads=1))
    summary = run_video(session, video)
    assert 0 < summary.frames < 12
    assert summary.problem is not None
    assert len(summary.seconds["decode"]) == len(summary.seconds["write"]) == summary.frames
