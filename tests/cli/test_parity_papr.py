from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import Cli
from tests.media.clips import write_clip
from tests.tasks.segmentation.parity.perturbed import Arrays, PerturbedEngine
from vpp_deploy import engines
from vpp_deploy.bundle import Bundle
from vpp_deploy.errors import ExitCode


@pytest.fixture
def own_bundle(papr_bundle: Bundle, tmp_path: Path) -> Path:
    return Path(shutil.copytree(papr_bundle.path, tmp_path / "own.bundle"))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three pictures of different sizes."""
    folder = tmp_path / "photos"
    folder.mkdir()
    generator = np.random.default_rng(3)
    for number, size in enumerate([(70, 100), (120, 90), (64, 96)]):
        Image.fromarray(generator.integers(0, 256, (*size, 3), np.uint8)).save(folder / f"{number}.png")
    return folder


def stored(bundle: Path) -> Any:
    return json.loads((bundle / "parity" / "onnxruntime.json").read_text())


def test_parity_passes_and_is_noted_in_the_bundle(cli: Cli, own_bundle: Path, photos: Path, tmp_path: Path) -> None:
    target = tmp_path / "report.json"
    outcome = cli("parity", own_bundle, "--video", photos, "--frames", 3, "--json", target)
    assert (outcome.code, outcome.err) == (0, "")
    assert "3 images of photos" in outcome.out
    assert "Parity: passed" in outcome.out
    report = json.loads(target.read_text())
    assert report["passed"] is True
    assert [sample["name"] for sample in report["per_sample"]] == ["0.png", "1.png", "2.png"]
    summary = stored(own_bundle)
    assert (summary["passed"], summary["samples"], summary["source"]) == (True, 3, "photos")
    assert "per_sample" not in summary


def test_one_image_and_a_video_can_be_compared(cli: Cli, own_bundle: Path, photos: Path, tmp_path: Path) -> None:
    assert "1 image of 0.png" in cli("parity", own_bundle, "--video", photos / "0.png").out
    video = write_clip(tmp_path / "clip.mp4", frames=4, size=(60, 90))
    assert "2 images of clip.mp4" in cli("parity", own_bundle, "--video", video, "--frames", 2).out


def test_a_wrong_engine_fails_with_its_own_exit_code_and_a_report(
    cli: Cli, own_bundle: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def add(outputs: Arrays) -> None:
        outputs["logits"] += 1e-2

    load = engines.load_engine
    monkeypatch.setattr(
        engines, "load_engine", lambda *arguments: PerturbedEngine(load(*arguments), add, first_frame=0)
    )
    target = tmp_path / "report.json"
    outcome = cli("parity", own_bundle, "--video", photos, "--json", target)
    outcome.assert_one_line_error(ExitCode.PARITY, "does not compute what PyTorch computes", "image 0 (0.png), logits")
    report = json.loads(target.read_text())
    assert report["passed"] is False
    assert len(report["problems"]) == 3
    assert stored(own_bundle)["passed"] is False


def test_the_accuracy_on_videos_is_not_for_classifiers(
    cli: Cli, own_bundle: Path, photos: Path, tmp_path: Path
) -> None:
    outcome = cli("parity", own_bundle, "--video", photos, "--task", tmp_path / "none")
    outcome.assert_one_line_error(ExitCode.USAGE, "--task", "papr:vit_tiny_patch16_224")
    assert outcome.out == ""
    assert not (own_bundle / "parity").exists()


def test_parity_needs_pictures(cli: Cli, own_bundle: Path, tmp_path: Path) -> None:
    outcome = cli("parity", own_bundle, "--video", tmp_path / "none")
    outcome.assert_one_line_error(ExitCode.BAD_INPUT, "no such file")


def test_what_was_compared_before_an_error_is_kept(cli: Cli, own_bundle: Path, photos: Path, tmp_path: Path) -> None:
    broken = photos / "2.png"
    broken.write_bytes(broken.read_bytes()[:200])
    out = tmp_path / "report.json"
    outcome = cli("parity", own_bundle, "--input", photos, "--json", out)
    outcome.assert_one_line_error(ExitCode.BAD_INPUT, "2.png", "the report until then is in", "report.json.partial")
    assert not out.exists()
    kept = json.loads((tmp_path / "report.json.partial").read_text())
    assert kept["samples"] == 2
    assert not (own_bundle / "parity").exists()
    without = cli("parity", own_bundle, "--input", photos)
    without.assert_one_line_error(ExitCode.BAD_INPUT, "2.png")
    assert "until then" not in without.err
