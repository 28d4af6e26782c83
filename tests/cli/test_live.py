"""`vpp-deploy live` as a user meets it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import av
import pytest

from tests.cli.conftest import Cli
from tests.media.clips import write_clip
from tests.media.servers import RtspServer
from vpp_deploy.bundle import Bundle
from vpp_deploy.errors import ExitCode

PATIENCE = 120.0


def until(reached: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    limit = time.monotonic() + PATIENCE
    while not reached():
        assert time.monotonic() < limit
        assert process.poll() is None
        time.sleep(0.05)


def indices(path: Path) -> list[int]:
    return [json.loads(line)["index"] for line in path.read_text().splitlines()]


def test_files_run_to_their_end(cli: Cli, micro_bundle: Bundle, tmp_path: Path) -> None:
    clips = [write_clip(tmp_path / f"{name}.mp4", frames=4) for name in "ab"]
    lines, seen = tmp_path / "lines", tmp_path / "seen"
    outcome = cli("live", micro_bundle.path, *clips, clips[0], "--json", lines, "-o", seen, "--workers", 2)
    assert outcome.code == 0
    assert f"warning: {clips[0]} is named more than once; it runs once\n" in outcome.err
    assert [indices(lines / f"{name}.jsonl")[-1] for name in "ab"] == [3, 3]
    assert sorted(path.name for path in seen.iterdir()) == ["a.mp4", "b.mp4"]
    assert "a: ended\n" in outcome.out
    assert "b: ended\n" in outcome.out
    assert "warning: the bundle's weights are random" in outcome.err
    assert "\x1b" not in outcome.out


def test_lines_of_an_earlier_run_stay_and_that_is_said(cli: Cli, micro_bundle: Bundle, tmp_path: Path) -> None:
    clip, path = write_clip(tmp_path / "a.mp4", frames=4), tmp_path / "lines" / "a.jsonl"
    said = f"warning: {path}: there are lines of an earlier run"
    first = cli("live", micro_bundle.path, clip, "--json", path.parent)
    before = path.read_text()
    again = cli("live", micro_bundle.path, clip, "--json", path.parent)
    assert (first.code, again.code) == (0, 0)
    assert path.read_text().startswith(before)
    assert len(path.read_text()) > len(before)
    assert (said in first.err, said in again.err) == (False, True)


def test_a_source_that_failed_is_told_when_the_others_have_ended(
    cli: Cli, micro_bundle: Bundle, tmp_path: Path
) -> None:
    clip = write_clip(tmp_path / "a.mp4", frames=4)
    outcome = cli("live", micro_bundle.path, tmp_path / "none.mp4", clip, "--json", tmp_path / "lines")
    assert outcome.code == ExitCode.BAD_INPUT
    assert "error: 1 of 2 sources failed: " in outcome.err
    assert "none.mp4: no such file" in outcome.err
    assert indices(tmp_path / "lines" / "a.jsonl")[-1] == 3


def test_bad_calls_are_one_line_and_leave_nothing(
    cli: Cli, micro_bundle: Bundle, papr_bundle: Bundle, tmp_path: Path
) -> None:
    clip = write_clip(tmp_path / "a.mp4", frames=4)
    before = set(tmp_path.rglob("*"))
    lines = ["--json", tmp_path / "lines"]
    cli("live", papr_bundle.path, clip, *lines).assert_one_line_error(ExitCode.USAGE, "need a model that tracks")
    cli("live", micro_bundle.path, "ftp://a/b", *lines).assert_one_line_error(ExitCode.BAD_INPUT, "addresses of ftp")
    cli("live", micro_bundle.path, clip, *lines, "--metrics", "nowhere").assert_one_line_error(
        ExitCode.USAGE, "not HOST:PORT"
    )
    for folder in (clip, tmp_path / "lines.jsonl"):
        outcome = cli("live", micro_bundle.path, clip, "--json", folder)
        outcome.assert_one_line_error(ExitCode.USAGE, f"{folder.suffix} is the ending of a file")
    assert set(tmp_path.rglob("*")) == before


@pytest.mark.skipif(os.name != "posix", reason="signals as on POSIX")
def test_a_watched_list_metrics_and_a_signal_that_ends_it_well(micro_bundle: Bundle, tmp_path: Path) -> None:
    pytest.importorskip("prometheus_client")
    clip = write_clip(tmp_path / "clip.ts", frames=48)
    sources, lines, seen = tmp_path / "cameras.txt", tmp_path / "lines", tmp_path / "seen"
    with RtspServer(clip, pause=0.02) as first, RtspServer(clip, pause=0.02) as second:
        names = [f"127.0.0.1-{server.port}-clip" for server in (first, second)]
        sources.write_text(f"{first.url}\nrtsp://127.0.0.1:1/dead\n")
        command = [sys.executable, "-m", "vpp_deploy", "live", micro_bundle.path, sources]
        wanted = ["--json", lines, "-o", seen, "--metrics", "127.0.0.1:0", "--workers", "1"]
        process = subprocess.Popen([*command, *wanted], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            assert process.stdout is not None
            told = process.stdout.readline().decode()
            assert told.startswith("metrics: http://127.0.0.1:")
            until(lambda: (lines / f"{names[0]}.jsonl").exists(), process)
            sources.write_text(f"{first.url}\n{second.url}\n")
            until(lambda: all((lines / f"{name}.jsonl").exists() for name in names), process)
            until(lambda: all(len(indices(lines / f"{name}.jsonl")) > 2 for name in names), process)
            sources.rename(tmp_path / "aside.txt")
            assert process.stderr is not None
            assert b"cameras.txt: No such file" in process.stderr.readline()
            with urllib.request.urlopen(told.split()[1]) as page:
                metrics = page.read().decode()
            assert f'vpp_source_frames_total{{source="{names[1]}"}}' in metrics
            process.send_signal(signal.SIGTERM)
            out, err = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    assert (process.returncode, err.decode().count("\n")) == (0, 1), err.decode()
    assert "stopped by SIGTERM: ending 2 sources" in out.decode()
    for name in names:
        count = len(indices(lines / f"{name}.jsonl"))
        videos = [path for path in seen.iterdir() if path.name.startswith(name)]
        frames = 0
        for video in videos:
            with av.open(str(video)) as container:
                frames += sum(1 for _ in container.decode(video=0))
        assert frames == count
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith(".partial")]
