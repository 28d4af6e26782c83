from __future__ import annotations

import os
import pickle
import random
from pathlib import Path
from typing import Any

import onnx
import pytest
import safetensors.torch
import torch

from tests.cli.conftest import Cli, Outcome
from vpp_deploy.bundle import Bundle
from vpp_deploy.bundle.external_data import GRAPH_PREFIX
from vpp_deploy.bundle.hashing import sha256_of_file
from vpp_deploy.errors import ExitCode
from vpp_deploy.families.vpp import export as vpp_export
from vpp_deploy.families.vpp import options as vpp_options
from vpp_deploy.families.vpp.config import model_config
from vpp_deploy.families.vpp.shipped import shipped_weights

EXPORT = ("export", "vpp-micro", "--size", "64x64")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "new.bundle"


class RunsCode:
    """Unpickling it would make a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.folder,)


def garbage(path: Path, proof: Path) -> None:
    path.write_bytes(random.Random(0).randbytes(5000))


def truncated(path: Path, proof: Path) -> None:
    torch.save({"state_dict": {"weight": torch.zeros(1000)}}, path)
    path.write_bytes(path.read_bytes()[:2500])


def bare_pickle(path: Path, proof: Path) -> None:
    path.write_bytes(pickle.dumps({"weight": RunsCode(proof)}))


def zipped_pickle(path: Path, proof: Path) -> None:
    torch.save({"state_dict": {"weight": torch.zeros(3)}, "meta": RunsCode(proof)}, path)


def another_model(path: Path, proof: Path) -> None:
    torch.save({"state_dict": {"detector.weight": torch.zeros(3)}}, path)


def missing(path: Path, proof: Path) -> None:
    assert not path.exists()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("write", [missing, truncated, garbage, bare_pickle, zipped_pickle, another_model])
def test_a_bad_checkpoint(write: Any, suffix: str, cli: Cli, out: Path, tmp_path: Path) -> None:
    checkpoint, proof = tmp_path / f"weights{suffix}", tmp_path / "code-ran"
    write(checkpoint, proof)
    before = set(tmp_path.iterdir())
    cli(*EXPORT, "--checkpoint", checkpoint, "-o", out).assert_one_line_error(ExitCode.BAD_INPUT, str(checkpoint))
    assert set(tmp_path.iterdir()) == before  # no bundle, nothing half-written, and no code ran


def test_the_malicious_checkpoints_are_malicious(tmp_path: Path) -> None:
    for number, write in enumerate([bare_pickle, zipped_pickle]):
        checkpoint, proof = tmp_path / f"{number}.pth", tmp_path / f"proof-{number}"
        write(checkpoint, proof)
        with checkpoint.open("rb") as file:
            pickle.load(file) if write is bare_pickle else torch.load(checkpoint, weights_only=False)
        assert proof.is_dir()


@pytest.mark.parametrize(
    ("keep", "words"),
    [
        ("0.5,0.6,0.4,0.3", "grows"),
        ("0.5,0.4,0.3,0", "outside (0, 1]"),
        ("1.5,0.4,0.3,0.2", "outside (0, 1]"),
        ("nan,0.4,0.3,0.2", "outside (0, 1]"),
        ("0.5,0.4", "needs 4 ratios"),
        ("most", "neither"),
        ("0.47", "no named keep schedule"),
    ],
)
def test_a_bad_keep_schedule(keep: str, words: str, cli: Cli, out: Path) -> None:
    cli(*EXPORT, "--random-weights", "--keep", keep, "-o", out).assert_one_line_error(ExitCode.BAD_INPUT, words)
    assert not out.exists()


@pytest.mark.parametrize(
    "words",
    [
        ["export", "vpp-huge"],
        ["export", "vpp-micro", "--dataset", "imagenet"],
        ["export", "vpp-micro", "--size", "100x100"],
    ],
)
def test_a_model_that_cannot_be_exported(words: list[str], cli: Cli, out: Path) -> None:
    cli(*words, "--random-weights", "-o", out).assert_one_line_error(ExitCode.UNSUPPORTED_MODEL, words[-1])
    assert not out.exists()


def test_an_output_that_cannot_be_written(cli: Cli, tmp_path: Path, bundle: Path) -> None:
    weights = [*EXPORT, "--random-weights"]
    cli(*weights, "-o", tmp_path / "no" / "folder").assert_one_line_error(ExitCode.BAD_INPUT, "is not a folder that")
    cli(*weights, "-o", bundle).assert_one_line_error(ExitCode.BAD_INPUT, "exists already", "--overwrite")
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").touch()
    cli(*weights, "--overwrite", "-o", precious).assert_one_line_error(ExitCode.BAD_INPUT, "not a bundle")
    assert (precious / "thesis.txt").exists()


def test_export_says_what_it_made_and_how_to_go_on(
    cli: Cli, bundle: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: dict[str, Any] = {}

    def record(request: Any, options: vpp_options.VppOptions) -> Bundle:
        asked.update(request=request, options=options)
        opened = Bundle.open(bundle)
        return Bundle(bundle, opened.manifest.model_copy(update={"precision": request.precision}))

    monkeypatch.setattr(vpp_export, "export_request", record)
    words = ["--random-weights", "--seed", 3, "--keep", "0.4", "--size", "64x96", "--max-tracks", 7]
    outcome = cli(
        "export",
        "vpp-micro",
        *words,
        "--max-detections",
        9,
        "--selection-noise",
        "--precision",
        "float16",
        "--overwrite",
        "-o",
        bundle,
    )
    assert outcome.code == 0
    assert f"{bundle}: vpp-micro, keep schedule 0.55, 128x192" in outcome.out
    assert ", float16, " in outcome.out
    assert outcome.out.endswith(f"next: vpp-deploy build-engine {bundle}\n")
    assert outcome.err.startswith("warning: the weights are random")
    request = asked["request"]
    assert (request.model, request.out, request.checkpoint) == ("vpp-micro", bundle, None)
    assert (request.keep, request.size, request.random_weights.seed) == ("0.4", (64, 96), 3)
    assert (request.precision, request.overwrite) == ("float16", True)
    assert asked["options"] == vpp_options.VppOptions(None, 7, 9, selection_noise=True)


@pytest.mark.parametrize("model", ["vpp-micro", "papr:deit_small_patch16_224"])
def test_an_unknown_precision(model: str, cli: Cli, out: Path) -> None:
    outcome = cli("export", model, "--random-weights", "--precision", "int4", "-o", out)
    outcome.assert_one_line_error(ExitCode.USAGE, "--precision", "int4", "float32", "float16", "bfloat16")
    assert not out.exists()


def test_a_model_without_weights(cli: Cli, out: Path) -> None:
    cli("export", "vpp-small", "-o", out).assert_one_line_error(ExitCode.USAGE, "--checkpoint FILE, or --random")
    assert not out.exists()


def test_a_model_whose_weights_are_shipped(
    cli: Cli, out: Path, micro_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if those of the micro model were: its graphs are traced already, which takes half a minute."""
    weights = safetensors.torch.load_file(micro_bundle.weights_path)
    shipped = tmp_path / "keep-0.55.safetensors"
    own = {name: tensor for name, tensor in weights.items() if not name.startswith(GRAPH_PREFIX)}
    safetensors.torch.save_file(own, shipped)
    monkeypatch.setattr(vpp_options, "SHIPPED_MODELS", ("vpp-micro",))
    monkeypatch.setattr(vpp_export, "shipped_weights", lambda config: shipped)
    monkeypatch.setattr(vpp_export, "trace", lambda _, signed, *names: onnx.load(micro_bundle.graph_path(signed.role)))
    assert_exported_with(shipped, cli("export", "vpp-micro", "--keep", "0.55", "--size", "128x192", "-o", out), out)
    written = safetensors.torch.load_file(Bundle.open(out).weights_path)
    assert all(torch.equal(written[name], tensor) for name, tensor in own.items())


@pytest.mark.slow
def test_the_demo_model_with_its_weights(cli: Cli, out: Path) -> None:
    path = shipped_weights(model_config("vpp-demo", "0.4"))
    assert path is not None
    assert_exported_with(path, cli("export", "vpp-demo", "--keep", "0.4", "--size", "64x96", "-o", out), out)


def assert_exported_with(shipped: Path, outcome: Outcome, out: Path) -> None:
    assert (outcome.code, "random" in outcome.err) == (0, False), outcome.err
    opened = Bundle.open(out).manifest
    source = opened.provenance.weights
    assert (source.kind, source.sha256) == ("shipped", sha256_of_file(shipped))
    assert source.name == f"{opened.model.name}/{shipped.name}"
