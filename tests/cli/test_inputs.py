"""What `infer` and `parity` say about inputs; how these are read is tested in `tests/media`."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tests.bundle.classifier_factory import make_classifier
from tests.cli.conftest import Cli
from tests.media.clips import write_streams
from vpp_deploy.engines import build_engine
from vpp_deploy.errors import ExitCode


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    bundle = make_classifier(tmp_path_factory.mktemp("images") / "images.bundle", batch=2)
    build_engine(bundle, "onnxruntime")
    return bundle.path


@pytest.mark.parametrize("words", [("infer", "{}", "s3://host/a.mp4"), ("parity", "{}", "--input", "s3://host/a.mp4")])
def test_an_address_that_is_not_read_is_shown_as_it_was_typed(cli: Cli, images: Path, words: tuple[str, ...]) -> None:
    outcome = cli(*(word.format(images) for word in words))
    outcome.assert_one_line_error(ExitCode.BAD_INPUT, "s3://host/a.mp4: addresses of s3: are not read")


def test_what_was_chosen_of_a_video_is_said_and_can_be_chosen(cli: Cli, images: Path, tmp_path: Path) -> None:
    clip = write_streams(tmp_path / "clip.mkv", [(1, (32, 32), 0), (12, (48, 64), 0)])
    chosen = cli("infer", images, clip)
    assert (chosen.code, "12 images of 48x64" in chosen.out) == (0, True)
    assert f"warning: {clip}: reads video stream 1 (h264 48x64); there is also 0 (h264 32x32)" in chosen.err
    asked = cli("infer", images, clip, "--stream", 0)
    assert (asked.code, "1 image of 32x32" in asked.out) == (0, True)
    assert "reads video stream" not in asked.err
    cli("infer", images, clip, "--stream", 5).assert_one_line_error(ExitCode.USAGE, "no video stream 5")


def test_what_was_left_out_of_a_folder_is_said(cli: Cli, images: Path, tmp_path: Path) -> None:
    Image.new("RGB", (40, 30)).save(tmp_path / "1.png")
    (tmp_path / "a.mov").touch()
    outcome = cli("infer", images, tmp_path)
    assert outcome.code == 0
    assert f"warning: {tmp_path}: left out 1 .mov" in outcome.err


def test_the_limit_of_pixels_can_be_moved(cli: Cli, images: Path, tmp_path: Path) -> None:
    Image.new("RGB", (40, 30)).save(tmp_path / "1.png")
    outcome = cli("infer", images, tmp_path, "--max-pixels", 1199)
    outcome.assert_one_line_error(ExitCode.BAD_INPUT, "1200 pixels are more", "--max-pixels 1200")
    assert cli("infer", images, tmp_path, "--max-pixels", 1200).code == 0


@pytest.mark.parametrize("size", [(60_000, 1), (1, 60_000)])
def test_strips_are_read_and_drawn(cli: Cli, images: Path, tmp_path: Path, size: tuple[int, int]) -> None:
    Image.new("RGB", size, (200, 10, 10)).save(tmp_path / "strip.png")
    outcome = cli("infer", images, tmp_path / "strip.png", "-o", tmp_path / "seen", "--header", "off")
    assert outcome.code == 0
    assert Image.open(tmp_path / "seen" / "strip.png").size == size
    wide = cli("infer", images, tmp_path / "strip.png", "-o", tmp_path / "seen.mp4", "--header", "off")
    wide.assert_one_line_error(ExitCode.BAD_INPUT, f"{size[1]}x{size[0]}", "too large for H.264", "16384")
