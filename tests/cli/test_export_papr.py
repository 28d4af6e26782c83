from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import torch

from tests.cli.conftest import Cli
from tests.families.papr.tiny import tiny_models
from vpp_deploy.bundle import Bundle, ClassificationManifest
from vpp_deploy.errors import ConfigError, ExitCode
from vpp_deploy.exporters.labels import read_labels

MODEL = "papr:tiny_vit"
EXPORT = ("export", MODEL, "--proposal", "resnet18")


@pytest.fixture(scope="module", autouse=True)
def _tiny() -> Iterator[None]:
    with tiny_models():
        yield


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "new.bundle"


def test_export_says_what_it_made_and_what_it_computes(cli: Cli, out: Path) -> None:
    outcome = cli(
        *EXPORT, "--random-weights", "--keep", "0.6", "--merge", 2, "--size", "64x96", "--batch", 2, "-o", out
    )
    assert outcome.code == 0
    assert outcome.err == "warning: the weights are random and untrained: labels and kept patches will mean nothing\n"
    manifest = ClassificationManifest.of(Bundle.open(out).manifest, "this test")
    assert f"{out}: {MODEL}, keep ratio 0.6, 64x96, batch 2, 5 classes of custom" in outcome.out
    cost = manifest.cost
    ratio = f"{100 * cost.pruned / cost.dense:.3g}%"
    for words in (
        f"dense {cost.dense / 1e9:.2f}, pruned {cost.pruned / 1e9:.2f} ({ratio} of dense), of which resnet18",
        "patches           24 -> 15\n",  # int(0.6 · 25)
        "up to 2 tokens a block, leaves 12 tokens after the last block",  # (15 + 1) - 2 · 2
    ):
        assert words in outcome.out
    assert outcome.out.endswith(f"next: vpp-deploy build-engine {out}\n")


def test_a_reduced_precision_is_said_and_onnx_runtime_names_what_it_takes_instead(cli: Cli, out: Path) -> None:
    words = ["export", MODEL, "--random-weights", "--keep", 1, "--precision", "bfloat16", "-o", out]
    assert "5 classes of custom, bfloat16, " in cli(*words).out
    assert ", bfloat16\n" in cli("inspect", out).out
    before = {path for path in out.rglob("*") if path.is_file()}
    outcome = cli("build-engine", out)
    outcome.assert_one_line_error(ExitCode.BUILD, "bfloat16", "--precision float16")
    assert {path for path in out.rglob("*") if path.is_file()} == before


def test_options_reach_the_exporter(
    cli: Cli, papr_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from vpp_deploy.families.papr import export
    from vpp_deploy.families.papr.options import config_of

    asked: dict[str, Any] = {}

    def record(request: Any, options: Any) -> Bundle:
        asked.update(request=request, options=options, config=config_of(request, options))
        return papr_bundle

    monkeypatch.setattr(export, "export_request", record)
    checkpoint, proposal, labels = (tmp_path / name for name in ("m.pth", "p.pth", "l.txt"))
    checkpoint.touch()
    proposal.touch()
    labels.write_text("crane\ncrane\n")
    files = ["--checkpoint", checkpoint, "--proposal-checkpoint", proposal, "--labels", labels]
    words = [
        "--proposal",
        "resnet50.tv_in1k",
        "--keep",
        "0.65",
        "--stages",
        "2,3",
        "--size",
        "64x96",
        "--batch",
        4,
        "--precision",
        "float16",
    ]
    assert cli("export", MODEL, *files, *words, "--overwrite", "-o", tmp_path / "x").code == 0
    config, request, options = asked["config"], asked["request"], asked["options"]
    assert (config.model, config.keep, config.proposal) == (MODEL, 0.65, "resnet50")
    assert (config.size, config.stages, config.merge) == ((64, 96), (2, 3), 0)
    assert (request.out, request.checkpoint, request.random_weights) == (tmp_path / "x", checkpoint, None)
    assert (request.precision, request.overwrite) == ("float16", True)
    assert (options.proposal_checkpoint, options.pretrained, options.labels) == (proposal, False, labels)
    assert options.batch == 4
    assert cli("export", MODEL, "--pretrained", "-o", tmp_path / "x").code == 0
    assert (asked["config"].keep, asked["config"].proposal, asked["options"].pretrained) == (0.5, None, True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--dataset", "shapes"], "--dataset: for VPP models"),
        (["--max-tracks", 3, "--selection-noise"], "--max-tracks, --selection-noise: for VPP models"),
        (["--max-detections", 3], "--max-detections: for VPP models"),
        (["--pretrained"], "--pretrained and --random-weights exclude each other"),
        (["--proposal-checkpoint", "x.pth"], "--proposal-checkpoint is of no use with --random-weights"),
        (["--stages", "first"], "'first' is not a list of stages"),
        (["--size", "big"], "'big' is not HEIGHTxWIDTH"),
        (["--batch", 0], "batch"),
        (["--merge", -1], "merge"),
    ],
)
def test_contradictory_options(words: list[Any], message: str, cli: Cli, out: Path) -> None:
    cli(*EXPORT, "--random-weights", *words, "-o", out).assert_one_line_error(ExitCode.USAGE, message)
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "papr:tiny_vit needs weights: give --pretrained, which fetches them, --checkpoint FILE, or --random"),
        (["--pretrained", "--seed", 3], "--seed is for --random-weights"),
        (["--pretrained", "--keep", 1, "--proposal-checkpoint", "x.pth"], "of no use with --keep 1"),
    ],
)
def test_weights_that_contradict_each_other(words: list[Any], message: str, cli: Cli, out: Path) -> None:
    cli(*EXPORT, *words, "-o", out).assert_one_line_error(ExitCode.USAGE, message)


@pytest.mark.parametrize("words", [["--proposal", "resnet18"], ["--merge", 0], ["--pretrained"], ["--batch", 1]])
def test_a_vpp_model_takes_none_of_these_options(words: list[Any], cli: Cli, out: Path) -> None:
    outcome = cli("export", "vpp-micro", "--random-weights", *words, "-o", out)
    outcome.assert_one_line_error(ExitCode.USAGE, f"{words[0]}: for PaPr models", "not for vpp-micro")


@pytest.mark.parametrize("keep", ["0", "-0.5", "1.01", "nan", "inf", "dense", "0.7,0.5,0.4,0.3"])
def test_a_bad_keep_ratio(keep: str, cli: Cli, out: Path) -> None:
    outcome = cli(*EXPORT, "--random-weights", f"--keep={keep}", "-o", out)
    outcome.assert_one_line_error(ExitCode.BAD_INPUT, "keep ratio", "above 0 and at most 1")


@pytest.mark.parametrize(
    ("model", "words", "message"),
    [
        ("papr:vit_base_patch16_225", [], "did you mean papr:vit_base_patch16_224"),
        ("papr:", [], "unknown model"),
        ("papr:resnet18", [], "cannot be pruned"),
        ("papr:tiny_clips", ["--proposal", "resnet18"], "does not fit tiny_clips, which classifies clips"),
        (MODEL, ["--proposal", "resnet19"], "did you mean resnet18"),
        (MODEL, ["--proposal", "resnet18", "--size", "60x64"], "use 64x64"),
        (MODEL, ["--proposal", "resnet18", "--size", "0x64"], "image size 0x64"),
        ("papr:tiny_swin", ["--proposal", "resnet18", "--keep", "0.002"], "keeps none of the 196 patches of stage 2"),
        ("convnext_base.fb_in1k", [], "did you mean papr:convnext_base.fb_in1k?"),
    ],
)
def test_a_model_that_cannot_be_exported(model: str, words: list[str], message: str, cli: Cli, out: Path) -> None:
    outcome = cli("export", model, "--random-weights", *words, "-o", out)
    outcome.assert_one_line_error(ExitCode.UNSUPPORTED_MODEL, message)
    assert not out.exists()


def test_stages_that_do_not_exist(cli: Cli, out: Path) -> None:
    words = ["export", "papr:convnext_atto", "--random-weights", "--stages", "4", "-o", out]
    cli(*words).assert_one_line_error(ExitCode.BAD_INPUT, "name one or more of 0 to 3")


def test_checkpoints_that_are_not_there_or_of_another_model(cli: Cli, out: Path, tmp_path: Path) -> None:
    other, missing = tmp_path / "other.pth", tmp_path / "none.pth"
    torch.save({"head.weight": torch.zeros(3)}, other)
    cli(*EXPORT, "--checkpoint", missing, "-o", out).assert_one_line_error(
        ExitCode.BAD_INPUT, f"{missing}: no such file"
    )
    proposal = ["--checkpoint", other, "--proposal-checkpoint", missing]
    cli(*EXPORT, *proposal, "-o", out).assert_one_line_error(ExitCode.BAD_INPUT, f"{missing}: no such file")
    for words in (["--keep", 1], []):
        outcome = cli(*EXPORT, "--checkpoint", other, "--proposal-checkpoint", other, *words, "-o", out)
        if words:
            outcome.assert_one_line_error(ExitCode.USAGE, "--keep 1")
        else:
            outcome.assert_one_line_error(ExitCode.BAD_INPUT, str(other), "does not fit VisionTransformer")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.pth"]


def test_weights_that_cannot_be_fetched(cli: Cli, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    outcome = cli("export", "papr:vit_tiny_patch16_224", "--pretrained", "-o", out)
    outcome.assert_one_line_error(ExitCode.BAD_INPUT, "could not be fetched: ", "; give a checkpoint file")
    assert not out.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read the labels"),
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b"cat\n\ndog\n", "line 2 is blank"),
        (b"caf\xe9\n", "not a UTF-8 text file"),
        (b"cat\nd\x1bog\n", "line 2 holds characters that cannot be printed"),
        (b"a\nb\n", "2 labels do not fit"),
    ],
)
def test_bad_labels(content: bytes | None, message: str, cli: Cli, out: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    if content is not None:
        labels.write_bytes(content)
    checkpoint = tmp_path / "five.pth"
    if message.startswith("2 labels"):  # a number that does not fit shows in the checkpoint's classifier
        from vpp_deploy.families.papr.catalogue import base_model, lookup

        torch.save(base_model(lookup(MODEL)).state_dict(), checkpoint)
        outcome = cli(*EXPORT[:2], "--keep", 1, "--checkpoint", checkpoint, "--labels", labels, "-o", out)
        outcome.assert_one_line_error(ExitCode.BAD_INPUT, "head.bias [5] instead of [2]")
    else:
        outcome = cli(*EXPORT, "--random-weights", "--labels", labels, "-o", out)
        outcome.assert_one_line_error(ExitCode.BAD_INPUT, str(labels), message)
    assert not out.exists()


def test_labels_are_read_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes("\ufeffcat\r\n Käfer \ncrane\ncrane\n\n".encode())
    assert read_labels(path) == ("cat", "Käfer", "crane", "crane")
    os.mkfifo(tmp_path / "fifo")
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(5 << 30)
    for name, message in (("", "not a regular file"), ("fifo", "not a regular file"), ("sparse", "5.37 GB, .* 16 MB")):
        with pytest.raises(ConfigError, match=message):
            read_labels(tmp_path / name)


def test_an_output_that_exists(cli: Cli, papr_bundle: Bundle) -> None:
    outcome = cli(*EXPORT, "--random-weights", "-o", papr_bundle.path)
    outcome.assert_one_line_error(ExitCode.BAD_INPUT, "exists already")
