"""A whole video through a session."""

from __future__ import annotations

import json
import resource
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest

import vpp_deploy
from tests.media.clips import cut, write_clip
from vpp_deploy.engines.protocols import EngineStream
from vpp_deploy.errors import OutputError
from vpp_deploy.media.reader import read_video
from vpp_deploy.tasks.segmentation.run import Outputs, run_video
from vpp_deploy.tasks.segmentation.writers import frame_record


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


def test_results_are_those_of_frame_after_frame_and_every_part_is_timed(
    micro_bundle: vpp_deploy.Bundle, tmp_path: Path
) -> None:
    video, lines = write_clip(tmp_path / "clip.mp4", frames=6, size=(60, 90)), tmp_path / "x.jsonl"
    session = vpp_deploy.VideoSession(vpp_deploy.load_engine(micro_bundle, "onnxruntime", threads=1))
    summary = run_video(session, video, Outputs(tmp_path / "x.mp4", lines))
    assert {part: len(seconds) for part, seconds in summary.seconds.items()} == dict.fromkeys(summary.seconds, 6)
    assert min(map(min, summary.seconds.values())) > 0
    session.reset()
    with read_video(video, session.engine.frame_size) as frames:
        expected = [frame_record(session(frame), "", session.manifest.class_names) for frame in frames]
    assert [untimed(json.loads(line)) for line in lines.read_text().splitlines()] == [untimed(one) for one in expected]
    with av.open(str(tmp_path / "x.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 6


def untimed(record: dict[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps({name: value for name, value in record.items() if name != "seconds"}))


def test_an_error_while_a_frame_is_drawn_and_encoded_ends_the_run(
    micro_bundle: vpp_deploy.Bundle, tmp_path: Path
) -> None:
    video = write_clip(tmp_path / "clip.mkv", frames=30, size=(120, 160), noise=True)
    session = vpp_deploy.VideoSession(vpp_deploy.load_engine(micro_bundle, "onnxruntime", threads=1))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))  # as a full disk
    try:
        with pytest.raises(OutputError, match=r"x\.mp4: writing failed"):
            run_video(session, video, Outputs(tmp_path / "x.mp4"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == [video]
