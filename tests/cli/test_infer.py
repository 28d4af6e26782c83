from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import pytest

from tests.cli.conftest import Cli
from tests.media.clips import cut, write_audio, write_clip
from vpp_deploy.bundle import Bundle
from vpp_deploy.errors import ExitCode
from vpp_deploy.tasks.segmentation.results import FrameResult
from vpp_deploy.tasks.segmentation.session import VideoSession

Leftovers = Callable[[], list[str]]


def decoded(path: Path) -> list[tuple[int, int]]:
    with av.open(str(path)) as container:
        return [(frame.height, frame.width) for frame in container.decode(video=0)]


def json_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_infer_writes_what_was_asked_for(
    cli: Cli, micro_bundle: Bundle, clip: Path, tmp_path: Path, leftovers: Leftovers
) -> None:
    video, lines, vis = tmp_path / "tracked.mp4", tmp_path / "tracked.jsonl", tmp_path / "vis.json"
    wanted = ["-o", video, "--json", lines, "--youtube-vis", vis, "--header", "off", "--threads", 1]
    outcome = cli("infer", micro_bundle.path, clip, *wanted)
    assert outcome.code == 0
    assert decoded(video) == [(60, 90)] * 4
    records = json_lines(lines)
    assert [record["index"] for record in records] == [0, 1, 2, 3]
    assert set(records[1]["keep_ratios"]) == {point.name for point in micro_bundle.manifest.pruning_points}
    assert all(len(entry["segmentations"]) == 4 for entry in json.loads(vis.read_text()))
    assert f"{clip}: 4 frames of 60x90 in" in outcome.out
    for path in (video, lines, vis):
        assert str(path) in outcome.out
    assert leftovers() == []


def test_infer_without_an_output_prints_a_summary(cli: Cli, micro_bundle: Bundle, clip: Path, tmp_path: Path) -> None:
    before = set(tmp_path.rglob("*"))
    outcome = cli("infer", micro_bundle.path, clip, "--max-frames", 2)
    assert outcome.code == 0
    assert outcome.err.splitlines() == [
        "warning: the bundle's weights are random and untrained: masks, labels and tracks mean nothing"
    ]
    assert "2 frames of 60x90" in outcome.out
    for point in micro_bundle.manifest.pruning_points:
        kept = point.kept / (micro_bundle.manifest.token_grid[0] * micro_bundle.manifest.token_grid[1])
        assert f"{point.name} {100 * kept:.3g}%" in outcome.out
    assert all(part in outcome.out for part in ("decode", "host", "engine", "write", "tracks"))
    assert set(tmp_path.rglob("*")) == before


def test_output_that_is_not_a_terminal_is_plain(cli: Cli, micro_bundle: Bundle, clip: Path) -> None:
    outcome = cli("infer", micro_bundle.path, clip, "--max-frames", 1)
    assert "\x1b" not in outcome.out + outcome.err
    assert "\r" not in outcome.out + outcome.err


@pytest.fixture
def crowded_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every frame reports more candidates and tracks than the bundle has room for."""
    complete = VideoSession.complete

    def crowded(*arguments: Any) -> FrameResult:
        return replace(complete(*arguments), candidates_dropped=3, tracks_not_fed=2)

    monkeypatch.setattr(VideoSession, "complete", crowded)


@pytest.mark.usefixtures("crowded_session")
def test_what_did_not_fit_is_a_visible_warning(cli: Cli, micro_bundle: Bundle, clip: Path) -> None:
    outcome = cli("infer", micro_bundle.path, clip)
    assert outcome.code == 0
    candidates, tracks, _ = outcome.err.splitlines()
    assert candidates.startswith("warning: in 4 of 4 frames up to 3 candidates did not fit the bundle's 50 detections")
    assert candidates.endswith("--max-detections 53")
    assert tracks.startswith("warning: in 4 of 4 frames up to 2 tracks did not fit the bundle's 50 track slots")
    assert tracks.endswith("--max-tracks 52")


def test_a_video_that_is_not_there_or_empty_or_no_video(cli: Cli, micro_bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("not a video\n" * 50)
    sound = write_audio(tmp_path / "sound.m4a")
    before = set(tmp_path.iterdir())
    for name, word in [
        ("none.mp4", "no such file"),
        ("empty.mp4", "is empty"),
        ("text.mp4", "text"),
        (sound, "no video"),
    ]:
        outcome = cli("infer", micro_bundle.path, tmp_path / name, "-o", tmp_path / "x.mp4")
        outcome.assert_one_line_error(ExitCode.BAD_INPUT, str(tmp_path / name), word)
    assert set(tmp_path.iterdir()) == before


def test_of_a_truncated_video_the_decoded_part_is_kept_and_reported(
    cli: Cli, micro_bundle: Bundle, tmp_path: Path
) -> None:
    whole = write_clip(tmp_path / "clip.mkv", frames=12, size=(48, 64), noise=True)
    video, lines = tmp_path / "tracked.mp4", tmp_path / "tracked.jsonl"
    outcome = cli("infer", micro_bundle.path, cut(whole, 0.6), "-o", video, "--json", lines)
    assert outcome.code == 0
    warnings = [line for line in outcome.err.splitlines() if "damaged or cut short" in line]
    assert len(warnings) == 1
    assert warnings[0].startswith("warning: ")
    count = len(json_lines(lines))
    assert 3 < count < 12
    assert f"the {count} frames that could be decoded were processed" in warnings[0]
    assert len(decoded(video)) == count


def test_a_video_that_changes_its_size(cli: Cli, micro_bundle: Bundle, tmp_path: Path) -> None:
    small = write_clip(tmp_path / "small.ts", frames=3, size=(48, 64))
    big = write_clip(tmp_path / "big.ts", frames=3, size=(96, 80))
    both = tmp_path / "both.ts"
    both.write_bytes(small.read_bytes() + big.read_bytes())
    video, lines, vis = tmp_path / "tracked.mp4", tmp_path / "tracked.jsonl", tmp_path / "vis.json"
    lines.write_text("of an earlier run\n")
    outcome = cli("infer", micro_bundle.path, both, "-o", video, "--json", lines, "--youtube-vis", vis)
    outcome.assert_one_line_error(ExitCode.BAD_INPUT, "frame 3 is 96x80")
    assert not video.exists()
    assert not vis.exists()
    assert lines.read_text() == "of an earlier run\n"
    assert [record["index"] for record in json_lines(tmp_path / "tracked.jsonl.partial")] == [0, 1, 2]


@pytest.mark.parametrize("option", ["-o", "--json", "--youtube-vis"])
def test_an_output_that_cannot_be_written_fails_before_the_first_frame(
    option: str, cli: Cli, micro_bundle: Bundle, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(VideoSession, "__call__", lambda *arguments: pytest.fail("a frame was run"))
    (tmp_path / "folder.mp4").mkdir()
    before = set(tmp_path.rglob("*"))
    for target in (tmp_path / "none" / "x.mp4", clip / "x.mp4", tmp_path / "folder.mp4"):
        cli("infer", micro_bundle.path, clip, option, target).assert_one_line_error(ExitCode.BAD_INPUT, str(target))
    assert set(tmp_path.rglob("*")) == before


def test_one_bad_output_leaves_nothing_of_the_others(
    cli: Cli, micro_bundle: Bundle, clip: Path, tmp_path: Path
) -> None:
    before = set(tmp_path.rglob("*"))
    outputs = ["-o", tmp_path / "good.mp4", "--json", tmp_path / "none" / "x.jsonl"]
    cli("infer", micro_bundle.path, clip, *outputs).assert_one_line_error(ExitCode.BAD_INPUT)
    assert set(tmp_path.rglob("*")) == before


def test_an_output_never_replaces_the_video_or_another_output(
    cli: Cli, micro_bundle: Bundle, clip: Path, tmp_path: Path
) -> None:
    content = clip.read_bytes()
    (tmp_path / "link.mp4").symlink_to(clip)
    for target in (clip, tmp_path / "link.mp4", tmp_path / "." / clip.name):
        cli("infer", micro_bundle.path, clip, "-o", target).assert_one_line_error(ExitCode.USAGE, "which is read")
    same = ["--json", tmp_path / "x.json", "--youtube-vis", tmp_path / "x.json"]
    cli("infer", micro_bundle.path, clip, *same).assert_one_line_error(ExitCode.USAGE, "another output")
    assert clip.read_bytes() == content


def test_an_unknown_video_format(cli: Cli, micro_bundle: Bundle, clip: Path, tmp_path: Path) -> None:
    outcome = cli("infer", micro_bundle.path, clip, "-o", tmp_path / "x.gif")
    outcome.assert_one_line_error(ExitCode.BAD_INPUT, "cannot write .gif", ".mp4")


def test_a_noise_seed_needs_a_bundle_with_noise(cli: Cli, micro_bundle: Bundle, clip: Path) -> None:
    cli("infer", micro_bundle.path, clip, "--noise-seed", 1).assert_one_line_error(ExitCode.USAGE, "takes no noise")
