"""Live sources over one engine: apart from each other, added and removed, and whole outputs however it ends."""

from __future__ import annotations

import json
import resource
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest

import vpp_deploy
from tests.media.clips import write_clip
from tests.media.servers import RtspServer
from vpp_deploy.bundle import Bundle
from vpp_deploy.errors import EngineOutputError, OutputError, UsageError
from vpp_deploy.serving.live import LiveRun
from vpp_deploy.serving.live.capture import State
from vpp_deploy.serving.live.feed import FeedStatus
from vpp_deploy.tasks.segmentation.model import SegmentationModel
from vpp_deploy.tasks.segmentation.session import VideoSession

PATIENCE = 120.0


@pytest.fixture(scope="module")
def model(micro_bundle: Bundle) -> SegmentationModel:
    return vpp_deploy.load(micro_bundle.path, threads=1)


def until(run: LiveRun, reached: Callable[[dict[str, FeedStatus]], bool]) -> dict[str, FeedStatus]:
    limit = time.monotonic() + PATIENCE
    while True:
        run.wait(0.02)
        statuses = {status.name: status for status in run.statuses}
        if reached(statuses):
            return statuses
        assert time.monotonic() < limit, statuses


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def decoded(path: Path) -> list[tuple[int, int]]:
    with av.open(str(path)) as container:
        return [(frame.height, frame.width) for frame in container.decode(video=0)]


def test_files_run_to_their_end_beside_a_camera_that_is_not_there(model: SegmentationModel, tmp_path: Path) -> None:
    clips = [write_clip(tmp_path / f"{name}.mp4", frames=8, size=(60, 90), noise=True) for name in "ab"]
    lines, videos = tmp_path / "lines", tmp_path / "videos"
    lines.mkdir()
    videos.mkdir()
    dead = "rtsp://127.0.0.1:1/x"
    with LiveRun(model, workers=2, lines=lines, videos=videos, pause=0.05) as run:
        run.set_sources([*map(str, clips), dead, str(clips[0])])
        statuses = until(run, lambda now: now["a"].state.over and now["b"].state.over)
        assert not run.over
    assert list(statuses) == ["a", "b", "127.0.0.1-1-x"]
    assert "Connection refused" in str(statuses["127.0.0.1-1-x"].problem)
    assert sorted(path.name for path in lines.iterdir()) == ["a.jsonl", "b.jsonl"]
    for name in "ab":
        found = records(lines / f"{name}.jsonl")
        status = next(status for status in run.statuses if status.name == name)
        assert (status.received, status.done + status.dropped, status.failed) == (8, 8, 0)
        indices = [record["index"] for record in found]
        assert len(found) == status.done
        assert indices == sorted(set(indices))
        assert indices[-1] == 7  # the newest frame is never dropped
        assert all(record["age"] >= 0 and record["received"] > 1.7e9 for record in found)
        assert len(decoded(videos / f"{name}.mp4")) == status.done


def test_sources_come_and_go(model: SegmentationModel, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.ts", frames=24)
    with RtspServer(clip, pause=0.02) as first, RtspServer(clip, pause=0.02) as second:
        with LiveRun(model, workers=1, lines=tmp_path, pause=0.05) as run:
            run.set_sources([first.url])
            (one,) = until(run, lambda now: all(status.done for status in now.values()))
            run.set_sources([first.url, second.url])
            (_, two) = until(run, lambda now: all(status.done for status in now.values()))
            run.set_sources([second.url])
            assert [status.name for status in run.statuses] == [two]
            until(run, lambda now: not run._leaving)
            assert run.pool.streams == (two,)
            count = len(records(tmp_path / f"{one}.jsonl"))
            before = next(iter(run.statuses)).done
            until(run, lambda now: now[two].done > before + 5)
            assert len(records(tmp_path / f"{one}.jsonl")) == count
            run.set_sources([second.url, first.url])
            until(run, lambda now: now[one].done > 0)
        assert len(records(tmp_path / f"{one}.jsonl")) > count  # a source that comes back goes on in its file


def test_a_camera_that_breaks_off_keeps_its_tracks_and_its_count(model: SegmentationModel, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.ts", frames=12)
    with RtspServer(clip) as server, LiveRun(model, workers=1, lines=tmp_path, pause=0.02) as run:
        run.set_sources([server.url])
        (name,) = until(run, lambda now: server.clients > 2 and all(status.done > 3 for status in now.values()))
        assert run.pool.statistics.streams == 1
    indices = [record["index"] for record in records(tmp_path / f"{name}.jsonl")]
    assert indices == sorted(set(indices))


def test_frames_that_change_their_size_begin_a_stream_and_a_video(model: SegmentationModel, tmp_path: Path) -> None:
    small = write_clip(tmp_path / "small.ts", frames=6, size=(48, 64))
    big = write_clip(tmp_path / "big.ts", frames=6, size=(96, 80))
    both = tmp_path / "both.ts"
    both.write_bytes(small.read_bytes() + big.read_bytes())
    videos = tmp_path / "videos"
    videos.mkdir()
    with LiveRun(model, workers=2, videos=videos, lines=tmp_path) as run:
        run.set_sources([str(both)])
        until(run, lambda now: run.over)
    assert {tuple(record["size"]) for record in records(tmp_path / "both.jsonl")} == {(48, 64), (96, 80)}
    assert sorted(path.name for path in videos.iterdir()) == ["both-2.mp4", "both.mp4"]
    assert {width for _, width in decoded(videos / "both.mp4")} == {64}
    assert {width for _, width in decoded(videos / "both-2.mp4")} == {80}


def test_a_stream_whose_engine_breaks_begins_anew(
    model: SegmentationModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_frame = VideoSession.__call__
    broken = threading.Event()

    def once(session: VideoSession, frame: Any) -> Any:
        if frame.index >= 2 and not broken.is_set():
            broken.set()
            raise EngineOutputError("NaN everywhere")
        return run_frame(session, frame)

    monkeypatch.setattr(VideoSession, "__call__", once)
    clip = write_clip(tmp_path / "clip.mp4", frames=24)
    with LiveRun(model, workers=1, lines=tmp_path) as run:
        run.set_sources([str(clip)])
        (status,) = until(run, lambda now: run.over).values()
    assert (status.state, status.failed, status.problem) == (State.ENDED, 1, "NaN everywhere")
    assert records(tmp_path / "clip.jsonl")[-1]["index"] == 23


def run_for_ever(model: SegmentationModel, source: str, lines: Path) -> None:
    with LiveRun(model, lines=lines) as run:
        run.set_sources([source])
        until(run, lambda now: False)


def test_an_output_that_cannot_be_written_ends_the_run_and_leaves_whole_lines(
    model: SegmentationModel, tmp_path: Path
) -> None:
    clip = write_clip(tmp_path / "clip.ts", frames=24)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with RtspServer(clip, pause=0.01) as server:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
        try:
            with pytest.raises(OutputError, match="cannot be written"):
                run_for_ever(model, server.url, tmp_path)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    (path,) = tmp_path.glob("*.jsonl")
    assert len(records(path)) > 0


def test_more_sources_than_may_run_are_refused_each(
    model: SegmentationModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vpp_deploy.serving.live.run.MOST_SOURCES", 2)
    with LiveRun(model, workers=1, lines=tmp_path) as run:
        run.set_sources([str(tmp_path / f"{name}.mp4") for name in "abcd"])
        statuses = until(run, lambda now: all(status.state.over for status in now.values()))
    problems = [str(status.problem) for status in statuses.values()]
    assert ["no such file" in problem for problem in problems] == [True, True, False, False]
    assert all("2 sources run, as many as may" in problem for problem in problems[2:])


def test_outputs_do_not_meet_what_is_read(model: SegmentationModel, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=3)
    (tmp_path / "in").mkdir()
    other = write_clip(tmp_path / "in" / "x.mp4", frames=3)
    content = clip.read_bytes()
    with LiveRun(model, workers=1, videos=tmp_path, lines=tmp_path) as run:
        run.set_sources([str(clip), str(other)])
        until(run, lambda now: now["x"].state.over)
        refused = next(status for status in run.statuses if status.name == "clip")
    assert refused.state is State.FAILED
    assert "which is read" in str(refused.problem)
    assert clip.read_bytes() == content
    assert (tmp_path / "x.mp4").exists()


def test_a_model_that_does_not_track(papr_bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="need a model that tracks, and this is a ClassificationModel"):
        LiveRun(vpp_deploy.load(papr_bundle.path))


def test_folders_for_outputs_are_made_and_older_videos_stay(model: SegmentationModel, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=3)
    for _ in range(2):
        with LiveRun(model, workers=1, videos=tmp_path / "a" / "videos", lines=tmp_path / "b" / "lines") as run:
            run.set_sources([str(clip)])
            until(run, lambda now: run.over)
    assert sorted(path.name for path in (tmp_path / "a" / "videos").iterdir()) == ["clip-2.mp4", "clip.mp4"]
    assert len(records(tmp_path / "b" / "lines" / "clip.jsonl")) >= 2
