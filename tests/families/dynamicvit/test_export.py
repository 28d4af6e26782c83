"""DynamicViT from the command line: export, engines, inference, parity, and what is refused."""

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
from vpp_deploy.errors import ConfigError, ExitCode, UsageError
from vpp_deploy.families.dynamicvit.config import DynamicViTConfig, parse_keep, published
from vpp_deploy.families.dynamicvit.model import DynamicViT

MODEL = f"dynamicvit:{NAME}"
SIZE = (64, 96)


@pytest.fixture(scope="module", autouse=True)
def _micro() -> Iterator[None]:
    with micro_size():
        yield


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """At the base ratio 0.7, with random weights and an ONNX Runtime engine. Shared: do not write to it."""
    return exported(tmp_path_factory.mktemp("dynamicvit") / "d.bundle", MODEL, "0.7")


def test_the_manifest_says_what_was_made(bundle: Bundle) -> None:
    manifest = manifest_of(bundle)
    assert (manifest.model.name, manifest.model.family, manifest.model.keep_schedule) == (MODEL, "dynamicvit", "0.7")
    assert [(point.name, point.grid, point.kept, point.fused) for point in manifest.pruning_points] == [
        ("block_3", (4, 6), 16, 0),  # int(24 · 0.7), · 0.7², · 0.7³
        ("block_6", (4, 6), 11, 0),
        ("block_9", (4, 6), 8, 0),
    ]
    assert [point.keep_ratio for point in manifest.pruning_points] == pytest.approx([0.7, 0.49, 0.343])
    assert (manifest.sequential, manifest.proposal, manifest.batch, manifest.frame_size) == (True, None, 2, SIZE)
    assert (manifest.model.dataset, len(manifest.class_names)) == ("imagenet-1k", 1000)
    config = DynamicViTConfig.from_dict(manifest.model.config)
    assert config == published(NAME, parse_keep("0.7"), SIZE)
    assert manifest.cost.pruned < manifest.cost.dense
    assert manifest.provenance.weights.kind == "random"


def test_inference_parity_and_inspection(bundle: Bundle, cli: Cli, tmp_path: Path) -> None:  # noqa: F811
    own, photos = shutil.copytree(bundle.path, tmp_path / "own.bundle"), write_photos(tmp_path / "photos")
    ran = cli("infer", own, photos, "-o", tmp_path / "seen", "--json", tmp_path / "found.jsonl", "--top", 2)
    assert ran.code == 0
    records = [json.loads(line) for line in (tmp_path / "found.jsonl").read_text().splitlines()]
    assert [[len(kept) for kept in record["kept"].values()] for record in records] == [[16, 11, 8]] * 3
    for record in records:
        first, second, third = (set(kept) for kept in record["kept"].values())
        assert third < second < first
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


def test_a_checkpoint_of_other_classes_three_ratios_and_labels(cli: Cli, tmp_path: Path) -> None:  # noqa: F811
    model = DynamicViT(published(NAME, parse_keep("0.7"), SIZE, classes=7))
    tensors = write_checkpoint(model, tmp_path / "birds.pth")
    (tmp_path / "birds.txt").write_text("".join(f"bird {number}\n" for number in range(7)))
    words = ("--checkpoint", tmp_path / "birds.pth", "--labels", tmp_path / "birds.txt", "--size", "64x96")
    made = cli("export", MODEL, *words, "--keep", "0.9,0.5,0.5", "-o", tmp_path / "birds.bundle")
    assert (made.code, made.err) == (0, "")
    assert f"{MODEL}, keep ratio 0.9,0.5,0.5, 64x96, batch 1, 7 classes of custom" in made.out
    assert "block 3           24 -> 21\n" in made.out
    bundle = Bundle.open(tmp_path / "birds.bundle")
    manifest = manifest_of(bundle)
    assert [(point.name, point.kept) for point in manifest.pruning_points] == [("block_3", 21), ("block_6", 12)]
    assert manifest.class_names == tuple(f"bird {number}" for number in range(7))
    stored = safetensors.torch.load_file(bundle.weights_path)
    assert all(torch.equal(stored[name], tensor) for name, tensor in tensors.items())
    reference = vpp_deploy.open_reference(bundle)
    assert reference.frame_size == SIZE


def test_a_module_in_memory_keeps_its_weights(tmp_path: Path) -> None:
    config = DynamicViTConfig("mine", 32, depth=2, heads=2, keep=(0.5,), points=(1,), size=(32, 48), classes=3)
    torch.manual_seed(1)
    model = DynamicViT(config)
    bundle = vpp_deploy.export(model, out=tmp_path / "mine.bundle", labels=["a", "b", "c"])
    manifest = manifest_of(bundle)
    assert (manifest.model.name, manifest.class_names) == ("dynamicvit:mine", ("a", "b", "c"))
    assert (manifest.provenance.weights.kind, manifest.provenance.weights.name) == ("memory", "DynamicViT")
    stored = safetensors.torch.load_file(bundle.weights_path)
    assert all(torch.equal(stored[name], tensor) for name, tensor in model.state_dict().items())
    for arguments, error, message in [
        ({"keep": 0.5, "size": (64, 64)}, UsageError, "keep, size belong into its configuration"),
        ({"random_weights": vpp_deploy.RandomWeights()}, UsageError, "exclude each other"),
        ({"labels": ["a"]}, ConfigError, "1 labels do not fit the model, which has 3 classes"),
    ]:
        with pytest.raises(error, match=message):
            vpp_deploy.export(model, out=tmp_path / "x.bundle", **arguments)
    assert not (tmp_path / "x.bundle").exists()


def test_bad_input_is_one_line_and_leaves_nothing(cli: Cli, tmp_path: Path) -> None:  # noqa: F811
    small = published(NAME, parse_keep("0.7"), SIZE, classes=7)
    write_checkpoint(DynamicViT(small), tmp_path / "small.pth")
    write_checkpoint(DynamicViT(small.dense()), tmp_path / "deit.pth")
    (tmp_path / "two.txt").write_text("a\nb\n")
    before = set(tmp_path.rglob("*"))
    random, given = ("--random-weights", "--size", "64x96"), ("--checkpoint", tmp_path / "small.pth")
    for words, code, message in [
        ((), ExitCode.USAGE, "needs weights: give --checkpoint FILE, or --random-weights"),
        ((*random, *given), ExitCode.USAGE, "--checkpoint and --random-weights exclude each other"),
        (("--checkpoint", tmp_path / "no.pth"), ExitCode.BAD_INPUT, "no such file"),
        (("--checkpoint", tmp_path / "two.txt"), ExitCode.BAD_INPUT, "is a text, not the file itself"),
        ((*given, "--size", "224x224"), ExitCode.BAD_INPUT, "pos_embed [1, 25, 32] instead of [1, 197, 32]"),
        (("--checkpoint", tmp_path / "deit.pth", "--size", "64x96"), ExitCode.BAD_INPUT, "missing: score_predictor"),
        ((*given, "--size", "64x96", "--labels", tmp_path / "two.txt"), ExitCode.BAD_INPUT, "2 labels do not fit"),
        ((*random, "--labels", tmp_path / "no.txt"), ExitCode.BAD_INPUT, "cannot read the labels"),
        ((*random, "--keep", "0"), ExitCode.BAD_INPUT, "keep ratio 0: it must be above 0"),
        ((*random, "--keep", "0.5,0.6,0.4"), ExitCode.BAD_INPUT, "must not exceed the 0.5 of the point before"),
        ((*random, "--keep", "0.5,0.4"), ExitCode.BAD_INPUT, "for 3 pruning points; give 1 or 3"),
        ((*random, "--keep", "dense"), ExitCode.BAD_INPUT, "it must be one number, or 3 separated by commas"),
        ((*random, "--keep", "0.2"), ExitCode.BAD_INPUT, "keeps none of 24 patches; the smallest usable ratio"),
        (("--random-weights", "--size", "65x96"), ExitCode.BAD_INPUT, "multiples of 16 pixels"),
        ((*random, "--no-fuse"), ExitCode.USAGE, "--no-fuse: for EViT models"),
        ((*random, "--pretrained"), ExitCode.USAGE, "--pretrained: for PaPr models"),
        ((*random, "--batch", 0), ExitCode.USAGE, "batch"),
    ]:
        cli("export", MODEL, *words, "-o", tmp_path / "x.bundle").assert_one_line_error(code, message)
    typo = cli("export", "dynamicvit:deit_smal", *random, "-o", tmp_path / "x.bundle")
    typo.assert_one_line_error(ExitCode.UNSUPPORTED_MODEL, "did you mean dynamicvit:deit_small?")
    assert set(tmp_path.rglob("*")) == before
