"""`infer` on several inputs, on parts of videos, over the network, into pictures and into a window."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import vpp_deploy
from tests.cli.conftest import Cli
from tests.media.clips import write_clip
from tests.media.displays import run_on_display
from tests.media.servers import RtspServer, http_server, silent_server
from vpp_deploy.bundle import Bundle
from vpp_deploy.errors import ExitCode, UsageError
from vpp_deploy.media import InputFile


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def untimed(path: Path) -> list[dict[str, Any]]:
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines_of(path)]


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    folder = tmp_path / "clips"
    folder.mkdir()
    write_clip(folder / "a.mp4", frames=3, size=(60, 90), noise=True)
    write_clip(folder / "b.mkv", frames=2)
    Image.new("RGB", (40, 30), (200, 10, 10)).save(folder / "c.png")
    return folder


def test_each_of_several_inputs_is_a_stream_of_its_own(
    cli: Cli, micro_bundle: Bundle, clips: Path, tmp_path: Path
) -> None:
    seen, lines, vis = tmp_path / "seen", tmp_path / "lines", tmp_path / "vis"
    outcome = cli("infer", micro_bundle.path, clips / "*", "-o", seen, "--json", lines, "--youtube-vis", vis)
    assert outcome.code == 0
    assert sorted(path.name for path in seen.iterdir()) == ["a.mp4", "b.mp4", "c.png"]
    assert sorted(path.name for path in lines.iterdir()) == ["a.jsonl", "b.jsonl", "c.jsonl"]
    assert sorted(path.name for path in vis.iterdir()) == ["a.json", "b.json", "c.json"]
    assert outcome.err.count("weights are random") == 1
    assert [len(lines_of(lines / f"{name}.jsonl")) for name in "abc"] == [3, 2, 1]
    alone = tmp_path / "alone.jsonl"
    assert cli("infer", micro_bundle.path, clips / "b.mkv", "--json", alone).code == 0
    assert untimed(alone) == untimed(lines / "b.jsonl")


@pytest.mark.parametrize("option", ["-o", "--json", "--youtube-vis"])
def test_a_folder_for_several_inputs_has_no_name_of_a_file(
    cli: Cli, micro_bundle: Bundle, clips: Path, tmp_path: Path, option: str
) -> None:
    words = ["infer", micro_bundle.path, clips / "*.m*", option]
    for name in ("all.npz", "all.MP4", "all.json"):
        cli(*words, tmp_path / name).assert_one_line_error(
            ExitCode.USAGE, f"{name}: outputs of several inputs", f"{Path(name).suffix} is the ending of a file"
        )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clips"]
    (tmp_path / "all.npz").mkdir()
    for name in ("all.npz", "all.v2"):
        assert cli(*words, tmp_path / name).code == 0
        assert len(list((tmp_path / name).iterdir())) == 2


def test_a_list_of_one_makes_folders_too(cli: Cli, micro_bundle: Bundle, clips: Path, tmp_path: Path) -> None:
    (clips / "list.txt").write_text("b.mkv\n")
    assert cli("infer", micro_bundle.path, clips / "list.txt", "--json", tmp_path / "lines").code == 0
    assert len(lines_of(tmp_path / "lines" / "b.jsonl")) == 2


def test_the_first_broken_input_ends_the_run_and_what_is_done_stays(
    cli: Cli, micro_bundle: Bundle, clips: Path, tmp_path: Path
) -> None:
    lines = tmp_path / "lines"
    outcome = cli("infer", micro_bundle.path, clips / "b.mkv", clips / "none.mp4", clips / "a.mp4", "--json", lines)
    errors = [line for line in outcome.err.splitlines() if line.startswith("error: ")]
    assert (outcome.code, len(errors)) == (ExitCode.BAD_INPUT, 1)
    assert "none.mp4: no such file" in errors[0]
    assert errors[0].endswith("done before it: 1 of 3 inputs")
    assert [path.name for path in lines.iterdir()] == ["b.jsonl"]


def test_outputs_of_several_inputs_do_not_meet_what_is_read(
    cli: Cli, micro_bundle: Bundle, clips: Path, tmp_path: Path
) -> None:
    before = set(tmp_path.rglob("*"))
    two = (clips / "a.mp4", clips / "b.mkv")
    words = ["infer", micro_bundle.path, *two]
    cli(*words, "-o", clips).assert_one_line_error(ExitCode.USAGE, "a.mp4 would overwrite")
    cli(*words, "--json", clips / "a.mp4").assert_one_line_error(ExitCode.USAGE, ".mp4 is the ending of a file")
    cli(*words, "--json", tmp_path / "no" / "folder").assert_one_line_error(ExitCode.BAD_INPUT, "is not a folder that")
    assert set(tmp_path.rglob("*")) == before


def test_a_classifier_of_images_takes_several_together(
    cli: Cli, papr_bundle: Bundle, clips: Path, tmp_path: Path
) -> None:
    for name in ("1.png", "2.png", "10.png"):
        Image.new("RGB", (96, 64), (20 * len(name), 90, 90)).save(clips / name)
    outcome = cli("infer", papr_bundle.path, clips / "*.png", "--json", tmp_path / "all.jsonl")
    assert (outcome.code, "4 images" in outcome.out) == (0, True)
    assert [line["name"] for line in lines_of(tmp_path / "all.jsonl")] == ["1.png", "2.png", "10.png", "c.png"]
    names = [result.name for result in vpp_deploy.load(papr_bundle.path).run(clips / "*.png")]
    assert names == ["1.png", "2.png", "10.png", "c.png"]
    mixed = cli("infer", papr_bundle.path, clips / "1.png", clips / "b.mkv", "-o", tmp_path / "mixed")
    assert mixed.code == 0
    assert sorted(path.name for path in (tmp_path / "mixed").iterdir()) == ["1.png", "b.mp4"]


def test_pictures_of_one_name_and_of_several_sizes_in_several_folders(
    cli: Cli, papr_bundle: Bundle, tmp_path: Path
) -> None:
    for folder in ("a", "b/c"):
        (tmp_path / folder).mkdir(parents=True)
        for number in (1, 2):
            Image.new("RGB", (96 + number, 64), (90, 90, 90)).save(tmp_path / folder / f"{number}.png")
    lines, drawn, each = tmp_path / "all.jsonl", tmp_path / "drawn", tmp_path / "each"
    pictures = [tmp_path / "a" / "*.png", tmp_path / "b" / "c" / "*.png"]
    assert cli("infer", papr_bundle.path, *pictures, "--json", lines, "-o", drawn).code == 0
    names = ["a/1.png", "a/2.png", "b/c/1.png", "b/c/2.png"]
    assert [line["name"] for line in lines_of(lines)] == names
    assert len(list(drawn.glob("*.png"))) == 4
    assert cli("infer", papr_bundle.path, tmp_path / "a", tmp_path / "b" / "c", "-o", each).code == 0
    found = sorted(path.relative_to(each).as_posix() for path in each.rglob("*.png"))
    assert found == ["a/1.png", "a/2.png", "c/1.png", "c/2.png"]


def test_part_of_a_video(cli: Cli, micro_bundle: Bundle, tmp_path: Path) -> None:
    clip, lines = write_clip(tmp_path / "clip.mp4", frames=48), tmp_path / "x.jsonl"
    part = ["--start", "0:00:01", "--end", "1.5", "--every", "3"]
    outcome = cli("infer", micro_bundle.path, clip, *part, "--json", lines)
    assert outcome.code == 0
    assert [(line["index"], line["time"]) for line in lines_of(lines)] == [
        (0, 1.0), (1, 1.125), (2, 1.25), (3, 1.375)
    ]  # fmt: skip
    cli("infer", micro_bundle.path, clip, "--start", "soon").assert_one_line_error(ExitCode.USAGE, "'soon' is no time")
    cli("infer", micro_bundle.path, clip, "--end", "0").assert_one_line_error(ExitCode.USAGE, "is not after the start")


def test_pictures_of_a_model_that_tracks(cli: Cli, micro_bundle: Bundle, clips: Path, tmp_path: Path) -> None:
    still = ["--header", "off", "--draw", "none"]
    assert cli("infer", micro_bundle.path, clips / "c.png", "-o", tmp_path / "one.png", *still).code == 0
    assert np.array_equal(np.asarray(Image.open(tmp_path / "one.png")), np.asarray(Image.open(clips / "c.png")))
    assert cli("infer", micro_bundle.path, clips / "a.mp4", "-o", tmp_path / "frames").code == 0
    assert len(list((tmp_path / "frames").glob("*.png"))) == 3
    many = cli("infer", micro_bundle.path, clips / "a.mp4", "-o", tmp_path / "many.jpg")
    many.assert_one_line_error(ExitCode.BAD_INPUT, "one picture, and the input has more frames")
    assert not (tmp_path / "many.jpg").exists()


def test_over_the_network(cli: Cli, micro_bundle: Bundle, clips: Path, tmp_path: Path) -> None:
    lines, alone = tmp_path / "x.jsonl", tmp_path / "alone.jsonl"
    assert cli("infer", micro_bundle.path, clips / "a.mp4", "--json", alone).code == 0
    with http_server(clips) as address:
        assert cli("infer", micro_bundle.path, f"{address}/a.mp4", "--json", lines).code == 0
    assert untimed(lines) == untimed(alone)
    clip = write_clip(tmp_path / "clip.ts", frames=12)
    with RtspServer(clip) as server:
        outcome = cli("infer", micro_bundle.path, server.url, "--max-frames", 4, "-o", tmp_path / "x.mp4")
        assert (outcome.code, f"{server.url}: 4 frames of 48x64" in outcome.out) == (0, True)
    with silent_server() as host:
        outcome = cli("infer", micro_bundle.path, f"rtsp://me:secret@{host}/a", "--timeout", "0.3", "--json", lines)
    outcome.assert_one_line_error(ExitCode.BAD_INPUT, f"rtsp://me:***@{host}/a: cannot be opened: nothing came")


def test_a_camera_that_is_not_there(cli: Cli, micro_bundle: Bundle) -> None:
    cli("infer", micro_bundle.path, "987").assert_one_line_error(ExitCode.MISSING, "camera 987")


def test_python_takes_the_same_sources(micro_bundle: Bundle, clips: Path) -> None:
    model = vpp_deploy.load(micro_bundle.path)
    with http_server(clips) as address:
        assert len(list(model.track(f"{address}/b.mkv"))) == 2
        report = vpp_deploy.check_parity(
            Bundle.open(micro_bundle.path), model.engine, f"{address}/b.mkv", reference=model.engine
        )
        assert (report.video, len(report.frames)) == ("b.mkv", 2)
    assert len(list(model.track(InputFile(clips / "a.mp4", every=2)))) == 2
    assert len(list(model.track(clips / "b*"))) == 1 + 1
    with pytest.raises(UsageError, match=r"names 3 inputs.*find_inputs"):
        model.track(clips / "*")


_SHOWING = """
from vpp_deploy.cli.main import main
from vpp_deploy.media.window import Window

show = Window._show

def watch(window, image):
    print(image.shape)
    show(window, image)
    window._root.after(0, window._close)

Window._show = watch
raise SystemExit(main({words}))
"""


def test_frames_are_shown_and_closing_the_window_ends_the_run_well(micro_bundle: Bundle, tmp_path: Path) -> None:
    lines, clip = tmp_path / "x.jsonl", write_clip(tmp_path / "clip.mp4", frames=8, size=(60, 90))
    words = ["infer", str(micro_bundle.path), str(clip), "--show", "--header", "off", "--json", str(lines)]
    printed = run_on_display(_SHOWING.format(words=words), tmp_path)
    assert "(60, 90, 3)" in printed
    assert 0 < len(lines_of(lines)) < 8


def test_without_a_display_nothing_is_begun(
    cli: Cli, micro_bundle: Bundle, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)  # without Tk the exit code is the same
    outcome = cli("infer", micro_bundle.path, clips / "a.mp4", "--show", "--json", tmp_path / "x.jsonl")
    outcome.assert_one_line_error(ExitCode.MISSING, "--show")
    assert not (tmp_path / "x.jsonl").exists()


@pytest.mark.skipif(os.name != "posix", reason="signals as on POSIX")
def test_a_pipe_that_has_fallen_silent_keeps_no_signal_from_ending_the_run(
    micro_bundle: Bundle, tmp_path: Path
) -> None:
    clip = write_clip(tmp_path / "clip.ts", frames=48, noise=True)
    lines = tmp_path / "x.jsonl"
    command = [sys.executable, "-m", "vpp_deploy", "infer", str(micro_bundle.path), "-", "--json", str(lines)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        assert process.stdin is not None
        content = clip.read_bytes()
        process.stdin.write(content[: len(content) // 2])
        process.stdin.flush()
        limit = time.monotonic() + 120
        while not any(path.stat().st_size for path in tmp_path.glob(".vpp-*")):
            assert time.monotonic() < limit
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        assert process.stderr is not None
        err = process.stderr.read().decode()
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    assert "stopped by SIGTERM; the results until then are in" in err
    assert len(lines_of(tmp_path / "x.jsonl.partial")) > 0


def test_lines_of_pictures_of_one_name_are_told_apart_by_a_model_that_tracks(
    cli: Cli, micro_bundle: Bundle, tmp_path: Path
) -> None:
    for folder in ("a", "b/c"):
        (tmp_path / folder).mkdir(parents=True)
        for name in ("1.png", f"{folder[0]}.png"):
            Image.new("RGB", (90, 60), (90, 90, 90)).save(tmp_path / folder / name)
    lines = tmp_path / "lines"
    pictures = [tmp_path / "a" / "1.png", tmp_path / "b" / "c" / "1.png"]
    assert cli("infer", micro_bundle.path, *pictures, "--json", lines).code == 0
    names = {path.name: [line["name"] for line in lines_of(path)] for path in lines.iterdir()}
    assert names == {"1.jsonl": ["a/1.png"], "1-2.jsonl": ["b/c/1.png"]}
    others = [tmp_path / "a" / "a.png", tmp_path / "b" / "c" / "b.png"]
    assert cli("infer", micro_bundle.path, *others, "--json", lines).code == 0
    assert [line["name"] for name in "ab" for line in lines_of(lines / f"{name}.jsonl")] == ["a.png", "b.png"]
