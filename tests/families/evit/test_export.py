"""EViT from the command line: export, engines, inference, parity, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import safetensors.torch
import torch

import vpp_deploy
from tests.cli.conftest import Cli, cli  # noqa: F401 - a fixture
from tests.families.command_line import NAME, exported, manifest_of, micro_size, write_checkpoint, write_photos
from vpp_deploy.bundle import Bundle
from vpp_deploy.errors import ExitCode, UsageError
from vpp_deploy.families.evit.config import EViTConfig, parse_keep, published
from vpp_deploy.families.evit.model import EViT
from vpp_deploy.families.evit.position_embedding import resized_position_embedding

MODEL = f"evit:{NAME}"
SIZE = (64, 96)


@pytest.fixture(scope="module", autouse=True)
def _micro() -> Iterator[None]:
    with micro_size():
        yield


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """At the keep rate 0.5 with fusion, random weights and an ONNX Runtime engine. Shared: do not write to it."""
    return exported(tmp_path_factory.mktemp("evit") / "e.bundle", MODEL, "0.5")


def test_the_manifest_says_what_was_made(bundle: Bundle) -> None:
    manifest = manifest_of(bundle)
    assert (manifest.model.name, manifest.model.family, manifest.model.keep_schedule) == (MODEL, "evit", "0.5")
    assert [(point.name, point.grid, point.kept, point.fused) for point in manifest.pruning_points] == [
        ("block_3", (4, 6), 12, 0),  # ceil(24 · 0.5)
        ("block_6", (4, 6), 7, 1),  # ceil(13 · 0.5)
        ("block_9", (4, 6), 4, 2),  # ceil(8 · 0.5)
    ]
    shapes = {spec.name: spec.shape for spec in manifest.graphs["model"].outputs}
    assert (shapes["significance_block_3"], shapes["significance_block_9"]) == ((2, 4, 6), (2, 26))
    assert (manifest.sequential, manifest.proposal, manifest.batch, manifest.frame_size) == (True, None, 2, SIZE)
    config = EViTConfig.from_dict(manifest.model.config)
    assert (config.fuse, config.pretrain_size, config.size) == (True, (224, 224), SIZE)
    assert manifest.cost.pruned < manifest.cost.dense


def test_inference_parity_and_inspection(bundle: Bundle, cli: Cli, tmp_path: Path) -> None:  # noqa: F811
    own, photos = shutil.copytree(bundle.path, tmp_path / "own.bundle"), write_photos(tmp_path / "photos")
    ran = cli("infer", own, photos, "-o", tmp_path / "seen", "--json", tmp_path / "found.jsonl", "--top", 2)
    assert ran.code == 0
    records = [json.loads(line) for line in (tmp_path / "found.jsonl").read_text().splitlines()]
    for record in records:
        kept = [set(kept) for kept in record["kept"].values()]
        assert kept[2] <= kept[1] <= kept[0]
        assert (len(kept[0]), max(map(max, kept)) < 24) == (12, True)  # fused tokens have no place
        assert [len(rows) for rows in record["significance"].values()] == [4, 4, 4]
    measured = cli("parity", own, "--input", photos, "--json", tmp_path / "report.json")
    assert measured.code == 0, measured.out
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["tensors"]["logits"]["maximum"] < 1e-4
    assert all(overlap["minimum"] == 1 for overlap in report["overlaps"].values())
    page = cli("inspect", own).out
    cost = manifest_of(bundle).cost
    assert f"dense {cost.dense / 1e9:.2f}, pruned {cost.pruned / 1e9:.2f}" in page
    assert all(words in page for words in ("block_3", "block_9", "4x6", "passed on 3 samples of photos"))


def test_it_builds_for_tensorrt_rtx(bundle: Bundle, cli: Cli, tmp_path: Path) -> None:  # noqa: F811
    pytest.importorskip("tensorrt_rtx")
    own = shutil.copytree(bundle.path, tmp_path / "own.bundle")
    outcome = cli("build-engine", own, "--engine", "tensorrt-rtx", "--compute-capability", "8.9")
    assert outcome.code == 0
    assert "for compute capability 8.9, float32" in outcome.out


def test_a_checkpoint_of_another_size_and_other_classes_without_fusion(cli: Cli, tmp_path: Path) -> None:  # noqa: F811
    """Trained at 224x224: its position embedding is resized to the input's grid."""
    trained = published(NAME, parse_keep("1"), classes=7)
    tensors = write_checkpoint(EViT(trained), tmp_path / "birds.pth")
    (tmp_path / "birds.txt").write_text("".join(f"bird {number}\n" for number in range(7)))
    words = ("--checkpoint", tmp_path / "birds.pth", "--labels", tmp_path / "birds.txt", "--size", "64x96")
    made = cli("export", MODEL, *words, "--keep", "0.9,0.5,1", "--no-fuse", "-o", tmp_path / "birds.bundle")
    assert (made.code, made.err) == (0, "")
    assert f"{MODEL}, keep ratio 0.9,0.5,1, 64x96, batch 1, 7 classes of custom" in made.out
    bundle = Bundle.open(tmp_path / "birds.bundle")
    manifest = manifest_of(bundle)
    assert [(point.name, point.kept, point.fused) for point in manifest.pruning_points] == [
        ("block_3", 22, 0),
        ("block_6", 11, 0),
    ]
    config = EViTConfig.from_dict(manifest.model.config)
    assert config.fuse is False
    stored = safetensors.torch.load_file(bundle.weights_path)
    expected = {**tensors, "pos_embed": resized_position_embedding(tensors["pos_embed"], config)}
    assert expected["pos_embed"].shape == (1, 25, 32)
    assert all(torch.equal(stored[name], tensor) for name, tensor in expected.items())
    assert vpp_deploy.open_reference(bundle).frame_size == SIZE


def test_a_checkpoint_that_was_trained_at_this_size_and_nothing_pruned(cli: Cli, tmp_path: Path) -> None:  # noqa: F811
    trained = published(NAME, parse_keep("0.7"), size=SIZE, classes=7)
    tensors = write_checkpoint(EViT(trained), tmp_path / "tuned.pth")
    words = ("--checkpoint", tmp_path / "tuned.pth", "--size", "64x96", "--keep", "1")
    assert cli("export", MODEL, *words, "-o", tmp_path / "tuned.bundle").code == 0
    bundle = Bundle.open(tmp_path / "tuned.bundle")
    assert torch.equal(safetensors.torch.load_file(bundle.weights_path)["pos_embed"], tensors["pos_embed"])
    manifest = manifest_of(bundle)
    assert (manifest.pruning_points, manifest.model.keep_schedule) == ((), "1")
    assert manifest.cost.pruned == manifest.cost.dense
    assert "nothing is pruned" in cli("inspect", bundle.path).out
    assert vpp_deploy.open_reference(bundle).frame_size == SIZE


def test_a_module_in_memory_says_everything_itself(tmp_path: Path) -> None:
    config = EViTConfig("mine", 32, depth=2, heads=2, keep=(0.5,), points=(1,), size=(32, 48), classes=3)
    for arguments, message in [
        ({"keep": 0.5, "no_fuse": True}, "keep, no_fuse belong into its configuration"),
        ({"random_weights": vpp_deploy.RandomWeights()}, "exclude each other"),
    ]:
        with pytest.raises(UsageError, match=message):
            vpp_deploy.export(EViT(config), out=tmp_path / "x.bundle", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_bad_input_is_one_line_and_leaves_nothing(cli: Cli, tmp_path: Path) -> None:  # noqa: F811
    write_checkpoint(EViT(published(NAME, parse_keep("0.7"), size=(64, 64), classes=7)), tmp_path / "other.pth")
    torch.save({"head.weight": torch.empty(2**40, 0)}, tmp_path / "classes.pth")
    with (tmp_path / "sparse.pth").open("wb") as sparse:
        sparse.truncate(2**40)
    before = set(tmp_path.rglob("*"))
    random = ("--random-weights", "--size", "64x96")
    for words, code, message in [
        ((), ExitCode.USAGE, "needs weights: give --checkpoint FILE, or --random-weights"),
        (("--checkpoint", tmp_path / "no.pth"), ExitCode.BAD_INPUT, "no such file"),
        (("--checkpoint", tmp_path / "classes.pth"), ExitCode.BAD_INPUT, "head.weight [1099511627776, 0] instead of"),
        (("--checkpoint", tmp_path / "sparse.pth"), ExitCode.BAD_INPUT, "is neither a safetensors file nor"),
        (
            ("--checkpoint", tmp_path / "other.pth", "--size", "64x96"),
            ExitCode.BAD_INPUT,
            "pos_embed has shape [1, 17, 32]; deit_micro trained at 224x224 has [1, 197, 32]",
        ),
        ((*random, "--keep", "0"), ExitCode.BAD_INPUT, "keep rate 0.0 in block 3: it must be above 0 and at most 1"),
        ((*random, "--keep", "1.2"), ExitCode.BAD_INPUT, "keep rate 1.2 in block 3"),
        ((*random, "--keep", "0.5,0.4"), ExitCode.BAD_INPUT, "for 3 pruning points; give 1 or 3"),
        ((*random, "--keep", "half"), ExitCode.BAD_INPUT, "it must be one number, or 3 separated by commas"),
        (("--random-weights", "--size", "64x90"), ExitCode.BAD_INPUT, "multiples of 16 pixels"),
        ((*random, "--merge", 2), ExitCode.USAGE, "--merge: for PaPr models"),
        ((*random, "--max-tracks", 2), ExitCode.USAGE, "--max-tracks: for VPP models"),
    ]:
        cli("export", MODEL, *words, "-o", tmp_path / "x.bundle").assert_one_line_error(code, message)
    unknown = cli("export", "evit:resnet", *random, "-o", tmp_path / "x.bundle")
    unknown.assert_one_line_error(ExitCode.UNSUPPORTED_MODEL, "unknown model 'evit:resnet'; known: evit:deit_tiny")
    assert set(tmp_path.rglob("*")) == before
