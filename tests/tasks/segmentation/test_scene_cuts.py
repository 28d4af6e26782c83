"""A cut: state and tracks start anew, numbers go on, and everything that is written says so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import vpp_deploy
from vpp_deploy.cli.main import main
from vpp_deploy.demo.scenes import render_clip
from vpp_deploy.errors import UsageError, VideoError
from vpp_deploy.media.writer import VideoWriter
from vpp_deploy.tasks.segmentation.run import Outputs, run_video
from vpp_deploy.tasks.segmentation.session import SessionState, VideoSession

CUT = 4


@pytest.fixture(scope="module")
def engine(micro_bundle: vpp_deploy.Bundle) -> vpp_deploy.Engine:
    return vpp_deploy.load_engine(micro_bundle, "onnxruntime", threads=1)


@pytest.fixture(scope="module")
def frames(engine: vpp_deploy.Engine) -> list[np.ndarray]:
    """Two scenes of `CUT` frames."""
    clips = [render_clip("val", seed, 0, frames=CUT, size=engine.frame_size).frames for seed in (1, 2)]
    return [frame for clip in clips for frame in clip]


@pytest.fixture(scope="module")
def film(frames: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    with VideoWriter(path, frames[0].shape[:2], 12) as writer:
        for index, frame in enumerate(frames):
            writer.write(frame, Fraction(index, 12))
    return path


@pytest.fixture
def session(engine: vpp_deploy.Engine) -> Iterator[VideoSession]:
    with VideoSession(engine) as opened:
        yield opened


def test_after_a_cut_a_frame_is_the_first_one_but_for_its_numbers(
    session: VideoSession, frames: list[np.ndarray]
) -> None:
    before = [session(frame) for frame in frames[:CUT]]
    session.cut()
    after = [session(frame) for frame in frames[CUT:]]
    session.reset()
    alone = [session(frame) for frame in frames[CUT:]]
    used = {int(identity) for result in before for identity in result.instances.identities}
    assert used
    assert [result.cut for result in (*before, *after, *alone)] == [n == CUT for n in range(len(frames) + CUT)]
    assert [result.index for result in after] == [CUT, CUT + 1, CUT + 2, CUT + 3]
    first = after[0].instances.identities.min() - alone[0].instances.identities.min()
    assert first > max(used) - 1
    for mine, other in zip(after, alone, strict=True):
        np.testing.assert_array_equal(mine.instances.identities - first, other.instances.identities)
        np.testing.assert_array_equal(mine.instances.masks, other.instances.masks)
        np.testing.assert_array_equal(mine.instances.scores, other.instances.scores)
        assert mine.kept.keys() == other.kept.keys()


def test_before_the_first_frame_a_cut_is_nothing(session: VideoSession, frames: list[np.ndarray]) -> None:
    session.cut()
    assert not session(frames[0]).cut
    assert not session(frames[1]).cut


def test_a_snapshot_between_a_cut_and_the_next_frame_is_continued(
    engine: vpp_deploy.Engine, session: VideoSession, frames: list[np.ndarray]
) -> None:
    for frame in frames[:CUT]:
        session(frame)
    whole = session.snapshot()
    session.cut()
    saved = session.snapshot().to_bytes()
    expected = session(frames[CUT])
    other = VideoSession(engine)
    other.restore(SessionState.from_bytes(saved))
    found = other(frames[CUT])
    assert (found.cut, found.index) == (True, CUT)
    np.testing.assert_array_equal(found.instances.identities, expected.instances.identities)
    other.restore(whole)
    assert not other(frames[CUT]).cut


def test_infer_says_where_scenes_begin(
    micro_bundle: vpp_deploy.Bundle, film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = tmp_path / "cuts.txt"
    listed.write_text("2\n6\n99\n")
    for settings, expected in (
        ([], [CUT]),
        (["--scene-cuts", "auto"], [CUT]),
        (["--scene-cuts", "off"], []),
        (["--scene-cuts", str(listed)], [2, 6]),
    ):
        lines = tmp_path / "lines.jsonl"
        assert main(["infer", str(micro_bundle.path), str(film), "--json", str(lines), *settings]) == 0
        records = [json.loads(line) for line in lines.read_text().splitlines()]
        assert [record["index"] for record in records if record.get("cut")] == expected
        assert all(record["cut"] is True for record in records if "cut" in record)
        said = " ".join(capsys.readouterr().out.split())
        if expected:
            assert f"scene cuts {len(expected)}, before frame" in said
            assert f" {', '.join(map(str, expected))} written " in said
        else:
            assert "scene cuts" not in said


def test_a_model_tracks_as_infer_does(micro_bundle: vpp_deploy.Bundle, film: Path, frames: list[np.ndarray]) -> None:
    model = vpp_deploy.load(micro_bundle, threads=1)
    assert [result.index for result in model.track(film) if result.cut] == [CUT]
    assert not any(result.cut for result in model.track(film, scene_cuts="off"))
    stream = model.session()
    stream(frames[0])
    stream.cut()
    assert stream(frames[CUT]).cut


def test_parity_knows_no_cuts(micro_bundle: vpp_deploy.Bundle, engine: vpp_deploy.Engine, film: Path) -> None:
    report = vpp_deploy.check_parity(micro_bundle, engine, film, reference=engine)
    assert [frame.phase for frame in report.frames] == ["init", *["step"] * (2 * CUT - 1)]


def test_the_list_of_cuts_is_not_written_over(session: VideoSession, film: Path, tmp_path: Path) -> None:
    listed = tmp_path / "cuts.txt"
    listed.write_text("2\n")
    with pytest.raises(UsageError):
        run_video(session, film, Outputs(json_lines=listed), scene_cuts=str(listed))
    with pytest.raises(VideoError, match="list of scene cuts"):
        run_video(session, film, Outputs(json_lines=tmp_path / "x.jsonl"), scene_cuts=str(tmp_path / "none"))
    assert [path.name for path in tmp_path.iterdir()] == ["cuts.txt"]
    assert listed.read_text() == "2\n"


def test_cuts_end_identities_in_what_is_found(session: VideoSession, film: Path) -> None:
    with_cuts, without = (run_video(session, film, scene_cuts=setting) for setting in (None, "off"))
    assert (list(with_cuts.cuts), list(without.cuts)) == ([CUT], [])
    assert with_cuts.frames == without.frames == 2 * CUT
