"""A model without classes: refused as a classifier, exported for its embedding."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from numpy.testing import assert_allclose
from PIL import Image

import vpp_deploy as vd
from tests.cli.conftest import Cli
from tests.conftest import made_once
from tests.tasks.segmentation.parity.perturbed import Arrays, PerturbedEngine
from vpp_deploy.bundle import Bundle
from vpp_deploy.errors import ExitCode, ExportError, UsageError
from vpp_deploy.tasks import TASKS

TOWER = "papr:vit_xsmall_patch16_clip_224.tinyclip_yfcc15m"
SIZE = (64, 48)


@pytest.fixture(scope="module")
def tower(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A small CLIP image tower with random weights, half of its patches kept, in batches of two."""

    def make(path: Path) -> Bundle:
        return vd.export(
            TOWER, out=path, random_weights=vd.RandomWeights(0), size=SIZE, keep="0.5", batch=2, features=True
        )

    return made_once(tmp_path_factory, "features", make)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        picture = np.random.default_rng(number).integers(0, 256, (60 + number, 70, 3), np.uint8)
        Image.fromarray(picture).save(folder / f"{number}.png")
    return folder


def test_the_bundle_says_what_it_gives(cli: Cli, tower: Bundle) -> None:
    with torch.device("meta"):
        width = timm.create_model(TOWER.removeprefix("papr:")).num_classes
    out = cli("inspect", tower.path).out
    assert f"features          {width} numbers; no classes" in out
    assert "classes  " not in out
    assert "(seed 0): this model is untrained, its features and kept patches mean nothing" in out
    assert TASKS["classification"].describe(tower).line.startswith(f"{TOWER}, keep ratio 0.5, 64x48, batch 2, {width} ")
    assert tower.manifest.graphs["model"].outputs[0].name == "features"


def test_embeddings_as_lines_as_arrays_and_in_python(cli: Cli, tower: Bundle, photos: Path, tmp_path: Path) -> None:
    lines, arrays = tmp_path / "f.jsonl", tmp_path / "f.npz"
    outcome = cli("infer", tower.path, photos, "--json", lines, "-o", arrays)
    assert outcome.code == 0
    assert "warning: the bundle's weights are random and untrained: features and kept patches mean" in outcome.err
    records = [json.loads(line) for line in lines.read_text().splitlines()]
    assert not any("labels" in record for record in records)
    found = np.load(arrays)
    assert found["names"].tolist() == [record["name"] for record in records] == ["0.png", "1.png", "2.png"]
    assert np.array_equal(np.float32([record["features"] for record in records]), found["features"])
    model = vd.load(tower)
    assert cli("infer", tower.path, photos, "-o", tmp_path / "F.NPZ").code == 0
    wrong = cli("infer", tower.path, photos, "-o", tmp_path / "f.npy")
    wrong.assert_one_line_error(ExitCode.BAD_INPUT, "cannot write .npy", ".npz for the features")
    results = model([str(photos / f"{number}.png") for number in range(3)])
    assert_allclose(np.stack([result.features for result in results]), found["features"], atol=1e-5)
    assert [result.names for result in results] == [()] * 3
    assert results[0].plot().shape[0] >= 60
    with pytest.raises(UsageError, match="no classes"):
        results[0].best  # noqa: B018
    table = cli("infer", tower.path, photos).out
    assert [line.split()[:2] for line in table.splitlines()[1:4]] == [[f"{number}.png", "512"] for number in range(3)]


def test_parity_compares_the_embedding(tower: Bundle, photos: Path) -> None:
    engine, reference = vd.load_engine(tower, "onnxruntime"), vd.open_reference(tower)
    report = vd.check_parity(tower, engine, photos, reference=reference)
    assert report.passed, report.problems
    assert report.labels() is None
    assert set(report.worst()) == {"features", "significance_patches"}
    assert report.summary()["labels"] is None

    def shift(outputs: Arrays) -> None:
        outputs["features"] = outputs["features"] + 0.01 * np.abs(outputs["features"]).max()

    wrong = PerturbedEngine(engine, shift, first_frame=0)
    report = vd.check_parity(tower, wrong, photos, reference=reference)
    assert not report.passed
    assert "features: " in report.problems[0]


def test_what_needs_classes_is_refused(cli: Cli, tower: Bundle, photos: Path, tmp_path: Path) -> None:
    words = ["evaluate", tower.path, "--data", photos]
    cli(*words).assert_one_line_error(ExitCode.USAGE, "gives features and no classes")
    words = ["triton", tower.path, tmp_path / "models"]
    cli(*words).assert_one_line_error(ExitCode.USAGE, "gives features and no classes")
    refusal = f"{TOWER} gives features and no labels; leave it out"
    for words in (["infer", tower.path, photos], ["batch", tower.path, photos, "-o", tmp_path / "results"]):
        cli(*words, "--top", 3).assert_one_line_error(ExitCode.USAGE, f"--top: {refusal}")
    with pytest.raises(UsageError, match=f"top: {refusal}"):
        vd.load(tower, top=3)
    with pytest.raises(UsageError, match=f"top: {refusal}"):
        vd.open_session(vd.load_engine(tower), top=3)


@pytest.mark.parametrize(
    ("model", "options", "error", "words"),
    [
        (TOWER, {}, ExportError, "export it with --features"),
        ("papr:vit_small_patch16_224.dino", {}, ExportError, "export those with --features"),
        ("papr:vit_tiny_patch16_224", {"features": True}, ExportError, "1000 classes apart; leave --features out"),
        (TOWER, {"features": True, "labels": ["a"]}, UsageError, "give one of them"),
    ],
)
def test_features_are_asked_for_where_there_are_no_classes(
    model: str, options: dict[str, object], error: type[Exception], words: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=words):
        vd.export(model, out=tmp_path / "b.bundle", random_weights=vd.RandomWeights(0), **options)  # type: ignore[arg-type]
    assert not (tmp_path / "b.bundle").exists()
