from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.bundle.classifier_factory import CLIP, make_classifier
from tests.cli.conftest import Cli
from tests.cli.test_infer import decoded
from tests.media.clips import write_clip
from vpp_deploy.bundle import Bundle
from vpp_deploy.engines import build_engine
from vpp_deploy.errors import ExitCode

Leftovers = Callable[[], list[str]]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    bundle = make_classifier(tmp_path_factory.mktemp("images") / "images.bundle", batch=2)
    build_engine(bundle, "onnxruntime")
    return bundle.path


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    bundle = make_classifier(tmp_path_factory.mktemp("clips") / "clips.bundle", clip=CLIP)
    build_engine(bundle, "onnxruntime")
    return bundle.path


def write_photos(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        shape = (40, 50 + number, 3)
        Image.fromarray(np.full(shape, (number * 60) % 256, np.uint8)).save(folder / f"photo {number}.png")
    return folder


def test_a_real_model_runs_and_warns_of_its_random_weights(
    cli: Cli, papr_bundle: Bundle, tmp_path: Path, leftovers: Leftovers
) -> None:
    photos, lines = write_photos(tmp_path / "photos", 3), tmp_path / "labels.jsonl"
    outcome = cli("infer", papr_bundle.path, photos, "-o", tmp_path / "seen", "--json", lines, "--top", 2)
    assert outcome.code == 0
    assert outcome.err.splitlines() == [
        "warning: the bundle's weights are random and untrained: labels and kept patches mean nothing"
    ]
    records = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [len(record["labels"]) for record in records] == [2, 2, 2]
    assert [len(record["kept"]["patches"]) for record in records] == [12, 12, 12]
    assert np.array(records[0]["significance"]["patches"]).shape == (4, 6)
    assert f"{photos}: 3 images of several sizes in" in outcome.out
    assert "patches 50%" in outcome.out
    assert all(part in outcome.out for part in ("ms per image", "decode", "host", "engine", "write"))
    assert str(tmp_path / "seen") in outcome.out
    assert len(list((tmp_path / "seen").glob("photo *.png"))) == 3
    assert leftovers() == []


def test_without_an_output_the_labels_are_printed(cli: Cli, images: Path, tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", 3)
    outcome = cli("infer", images, photos)
    assert (outcome.code, outcome.err) == (0, "")
    table = outcome.out.splitlines()[:4]
    assert table[0].split() == ["image", "labels"]
    assert [line[:11] for line in table[1:]] == ["photo 0.png", "photo 1.png", "photo 2.png"]
    assert [line.split()[3] for line in table[1:]] == ["dark", "dark", "grey"]
    assert "more" not in outcome.out


def test_a_long_table_is_cut_off(cli: Cli, images: Path, tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", 23)
    outcome = cli("infer", images, photos, "--top", 1)
    assert sum(line.startswith("photo ") for line in outcome.out.splitlines()) == 20
    assert "… and 3 more, use --json" in outcome.out.splitlines()
    assert "photo" not in cli("infer", images, photos, "--json", tmp_path / "x.jsonl").out.replace(str(photos), "")


def test_a_single_photo(cli: Cli, images: Path, tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    Image.new("RGB", (70, 50), (255, 255, 255)).save(photo)
    outcome = cli("infer", images, photo)
    assert outcome.code == 0
    assert f"{photo}: 1 image of 50x70 in" in outcome.out
    assert "bright" in outcome.out


def test_clips_of_a_video(cli: Cli, videos: Path, tmp_path: Path) -> None:
    video = write_clip(tmp_path / "clip.mp4", frames=12, rate=10)
    outcome = cli("infer", videos, video, "--hop", 5)
    assert outcome.code == 0
    assert [line.split("  ")[0] for line in outcome.out.splitlines()[:3]] == ["frames", "0–6 (0.00 s)", "5–11 (0.50 s)"]
    assert f"{video}: 12 frames of 48x64 in" in outcome.out
    assert "; 2 clips" in outcome.out
    assert "ms per clip" in outcome.out
    assert cli("infer", videos, video, "-o", tmp_path / "seen.mp4").code == 0
    assert len(decoded(tmp_path / "seen.mp4")) == 12


def test_options_of_the_other_family_are_refused(cli: Cli, images: Path, micro_bundle: Bundle, clip: Path) -> None:
    for option, value in [("--youtube-vis", "x.json"), ("--noise-seed", 0)]:
        outcome = cli("infer", images, clip, option, value)
        outcome.assert_one_line_error(ExitCode.USAGE, f"{option}: for instance segmentation models, not for papr:tiny")
    for option in ("--top", "--hop"):
        outcome = cli("infer", micro_bundle.path, clip, option, 3)
        outcome.assert_one_line_error(ExitCode.USAGE, f"{option}: for classification models, not for vpp-micro")
    cli("infer", images, clip, "--hop", 3).assert_one_line_error(ExitCode.USAGE, "--hop: papr:tiny takes images and")
    cli("infer", images, clip, "--top", 0).assert_one_line_error(ExitCode.USAGE, "--top")


def test_bad_input_and_bad_outputs_are_one_line_and_leave_nothing(cli: Cli, images: Path, tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", 2)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    (tmp_path / "broken.png").write_text("not an image")
    before = set(tmp_path.rglob("*"))
    for words, code, message in [
        ((tmp_path / "none.jpg",), ExitCode.BAD_INPUT, "no such file"),
        ((tmp_path / "broken.png",), ExitCode.BAD_INPUT, "not a readable image"),
        ((photos, "-o", tmp_path / "mine"), ExitCode.BAD_INPUT, "not replaced"),
        ((photos, "-o", tmp_path / "x.gif"), ExitCode.BAD_INPUT, "cannot write .gif"),
        ((photos, "-o", tmp_path / "x.mp4"), ExitCode.BAD_INPUT, "a video has one size"),
        ((photos, "-o", photos), ExitCode.USAGE, "overwrite"),
    ]:
        cli("infer", images, *words).assert_one_line_error(code, message)
    assert set(tmp_path.rglob("*")) == before
