from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.cli.conftest import Cli
from tests.cli.test_infer import decoded, json_lines
from vpp_deploy.bundle import Bundle
from vpp_deploy.demo import runner
from vpp_deploy.errors import ExitCode


@pytest.fixture
def short_demo(micro_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """A demo of a few frames that copies its bundle instead of exporting it, without TensorRT-RTX."""

    def copy(model: str, *, out: Path, **options: Any) -> Bundle:
        assert (model, options["overwrite"]) == (runner.MODEL, True)
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(micro_bundle.path, out, ignore=shutil.ignore_patterns("engines"))
        return Bundle.open(out)

    monkeypatch.setattr(runner, "export", copy)
    monkeypatch.setattr(runner, "BACKENDS", {"tensorrt-rtx": SimpleNamespace(version=lambda: None)})
    monkeypatch.setattr(runner, "CLIP_FRAMES", 3)
    monkeypatch.setattr(runner, "CLIP_SIZE", (96, 160))
    monkeypatch.setattr(runner, "PARITY_FRAMES", 2)


@pytest.mark.usefixtures("short_demo")
def test_the_demo_leaves_its_results_and_can_run_again(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "new" / "demo"
    for _ in range(2):
        outcome = cli("demo", "-o", out)
        assert outcome.code == 0
    sizes = decoded(out / "tracked.mp4")
    assert len(sizes) == 3
    assert sizes[0][0] > 96
    assert {width for _, width in sizes} == {160}
    assert len(json_lines(out / "tracked.jsonl")) == 3
    assert json.loads((out / "parity.json").read_text())["passed"] is True
    assert (out / "demo.bundle" / "parity" / "onnxruntime.json").is_file()
    assert outcome.out.splitlines()[-1] == f"Everything to look at: {out / 'report.html'}"
    assert all(str(out / name) in outcome.out for name in ("clip.mp4", "demo.bundle", "tracked.mp4", "parity.json"))
    names = {"clip.mp4", "demo.bundle", "parity.json", "report.html", "tracked.jsonl", "tracked.mp4"}
    assert {path.name for path in out.iterdir()} == names


def test_a_demo_folder_that_cannot_be_made(cli: Cli, clip: Path) -> None:
    outcome = cli("demo", "-o", clip)
    assert outcome.code == ExitCode.BAD_INPUT
    assert outcome.err.startswith(f"error: cannot make the folder {clip}")
    assert "PyTorch" not in outcome.err + outcome.out  # which takes seconds to load


def test_a_folder_with_a_video_of_ones_own(cli: Cli, clip: Path) -> None:
    (clip.parent / "tracked.jsonl").write_text("mine")
    clip.rename(clip.with_name("holiday.mp4"))
    cli("demo", "-o", clip.parent).assert_one_line_error(ExitCode.BAD_INPUT, "tracked.jsonl is not of a demo")
    assert (clip.parent / "tracked.jsonl").read_text() == "mine"


@pytest.mark.slow
def test_the_whole_demo(cli: Cli, tmp_path: Path) -> None:
    outcome = cli("demo", "-o", tmp_path)
    assert outcome.code == 0
    assert len(decoded(tmp_path / "tracked.mp4")) == runner.CLIP_FRAMES
