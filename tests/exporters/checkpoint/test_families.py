"""Checkpoints of every family: what fits in some way is loaded, what does not is refused by name."""

from __future__ import annotations

import copy
import math
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import timm
import torch
from torch import Tensor, nn

import vpp_deploy
from tests.exporters.checkpoint import files
from tests.families.command_line import NAME, micro_size
from tests.families.papr.random_models import lively, small_convnext, small_swin, small_vit
from tests.families.papr.tiny import tiny_models
from tests.tasks.tensors.models import FAMILY, Memory
from vpp_deploy.cli.main import main
from vpp_deploy.errors import CheckpointError, UsageError
from vpp_deploy.exporters.checkpoint import CheckpointFile, read_checkpoint, weights_of
from vpp_deploy.exporters.request import ExportRequest
from vpp_deploy.exporters.weights import Weights
from vpp_deploy.families import FAMILIES
from vpp_deploy.families.evit.config import parse_keep, published
from vpp_deploy.families.evit.model import EViT
from vpp_deploy.families.papr.catalogue import base_model, lookup
from vpp_deploy.families.papr.export import sources_of
from vpp_deploy.families.papr.options import PaprOptions
from vpp_deploy.families.papr.weights import load_base, load_proposal
from vpp_deploy.families.vpp.checkpoint import PREFIX, load_detector, official_state_dict
from vpp_deploy.families.vpp.config import model_config
from vpp_deploy.families.vpp.detector import VppDetector
from vpp_deploy.families.vpp.random_weights import randomise_

Change = Callable[[Tensor], Tensor]


@pytest.fixture(scope="module")
def detector_state() -> dict[str, Tensor]:
    return official_state_dict(randomise_(VppDetector(model_config("vpp-micro")), 3))


def equal(model: nn.Module, tensors: dict[str, Tensor]) -> bool:
    return all(torch.equal(tensor, tensors[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.module.", "model.", ""])
@pytest.mark.parametrize("form", files.FORMATS)
@pytest.mark.parametrize("own", [True, False])
def test_prefixes_of_a_vpp_checkpoint(
    prefix: str, form: str, own: bool, detector_state: dict[str, Tensor], tmp_path: Path
) -> None:
    renamed = {prefix + (name if own else name.removeprefix(PREFIX)): t for name, t in detector_state.items()}
    path = files.save({"state_dict": renamed, "meta": {"epoch": 6}}, tmp_path / "epoch_6.pth", form)
    detector = load_detector(model_config("vpp-micro"), CheckpointFile(path))
    assert equal(detector, {name.removeprefix(PREFIX): tensor for name, tensor in detector_state.items()})


def quantised(tensor: Tensor) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch will drop it one day; files will stay
        return torch.quantize_per_tensor(tensor.float(), 0.1, 0, torch.qint8)


CHANGES: dict[str, Change] = {
    "integers": Tensor.long,
    "booleans": Tensor.bool,
    "complex": Tensor.cfloat,
    "float8": lambda tensor: tensor.to(torch.float8_e4m3fn),
    "one dimension": lambda tensor: tensor.flatten(),
    "one more dimension": lambda tensor: tensor[None],
    "no rows": lambda tensor: tensor[:0],
    "four rows": lambda tensor: tensor.flatten()[:4].view(4, 1),
    "sparse": Tensor.to_sparse,
    "expanded": lambda tensor: tensor.flatten()[:1].expand(tensor.shape),
    "meta": lambda tensor: tensor.to("meta"),
    "quantised": lambda tensor: quantised(tensor),
}


@pytest.mark.parametrize("change", CHANGES)
def test_types_and_ranks_of_vpp_weights(change: str, detector_state: dict[str, Tensor], tmp_path: Path) -> None:
    name = next(name for name, tensor in detector_state.items() if tensor.ndim == 4)
    changed = {**detector_state, name: CHANGES[change](detector_state[name])}
    path = files.save(changed, tmp_path / "x.pth")
    refused(lambda: load_detector(model_config("vpp-micro"), path), path, name)


def refused(load: Callable[[], Any], path: Path, name: str) -> str:
    with pytest.raises(CheckpointError) as caught:
        load()
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    assert name in message
    return message


def small_clips() -> nn.Module:
    with tiny_models():
        return base_model(lookup("tiny_clips"))


MODELS: dict[str, Callable[[], nn.Module]] = {
    "vit": small_vit, "convnext": small_convnext, "swin": small_swin, "clips": small_clips,
}  # fmt: skip
NAMES = {
    "vit": ("pos_embed", "patch_embed.proj.weight", "blocks.0.attn.qkv.weight", "head.bias"),
    "convnext": ("stem.0.weight", "stages.1.downsample.1.weight", "head.fc.bias"),
    "swin": ("patch_embed.proj.weight", "layers.0.blocks.0.attn.relative_position_bias_table", "head.fc.weight"),
    "clips": ("videomae.encoder.layer.0.intermediate.dense.weight", "classifier.weight"),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in NAMES.items() for name in names])
def test_types_and_ranks_of_papr_weights(kind: str, name: str, change: str, tmp_path: Path) -> None:
    model = MODELS[kind]()
    state = model.state_dict()
    path = files.save({**state, name: CHANGES[change](state[name])}, tmp_path / "x.pth")
    if change == "one dimension" and (state[name].ndim == 1 or (kind, name) == ("vit", "patch_embed.proj.weight")):
        assert equal(load_base(MODELS[kind](), path), state)  # timm unflattens patch embeddings
    else:
        refused(lambda: load_base(model, path), path, name)


def test_a_fused_projection_of_four_rows(tmp_path: Path) -> None:
    path = files.save({"backbone.blocks.0.attn.qkv.weight": torch.ones(4, 16)}, tmp_path / "x.pth")
    message = refused(lambda: load_base(small_clips(), path), path, "backbone.blocks.0.attn.qkv.weight [4, 16]")
    assert "does not hold three projections" in message


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_papr_weights_of_other_precisions(kind: str, dtype: torch.dtype, tmp_path: Path) -> None:
    state = lively(MODELS[kind](), 3).state_dict()
    stored = {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    loaded = load_base(lively(MODELS[kind](), 4), files.save({"model": stored}, tmp_path / "x.pth", "legacy"))
    assert equal(loaded, {name: tensor.to(state[name].dtype) for name, tensor in stored.items()})


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("prefix", ["module.", "model.", "module.backbone."])
def test_papr_weights_behind_a_prefix(kind: str, prefix: str, tmp_path: Path) -> None:
    model, notes = lively(MODELS[kind](), 3), []
    state = model.state_dict()
    path = files.save({"model_ema": {prefix + name: tensor for name, tensor in state.items()}}, tmp_path / "x.pth")
    loaded = load_base(lively(copy.deepcopy(model), 4), CheckpointFile(path, note=notes.append))
    assert equal(loaded, state)
    assert [repr(prefix) in note or "averaged" in note for note in notes] == [True, True]


@pytest.mark.parametrize("kind", MODELS)
def test_checkpoints_of_other_models_get_a_helpful_message(kind: str, tmp_path: Path) -> None:
    path = files.save({"conv1.weight": torch.ones(3), "fc.bias": torch.ones(2)}, tmp_path / "x.pth")
    message = refused(lambda: load_base(MODELS[kind](), path), path, "missing")
    assert "2 unexpected: conv1.weight, fc.bias" in message
    assert "no name is the same" in message
    state = {f"student.net.{name}": tensor for name, tensor in MODELS[kind]().state_dict().items()}
    path = files.save({**state, "loss": torch.ones(1)}, tmp_path / "y.pth")
    assert "'student.net.'" in refused(lambda: load_base(MODELS[kind](), path), path, "behind")


def test_proposals_behind_a_prefix(tmp_path: Path) -> None:
    state = lively(timm.create_model("resnet18"), 3).state_dict()
    path = files.save({f"module.{name}": tensor for name, tensor in state.items()}, tmp_path / "x.pth")
    loaded = load_proposal("resnet18", path).network.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in loaded.items())


def poisoned(state: dict[str, Tensor], name: str, value: float = math.nan) -> dict[str, Tensor]:
    changed = {**state, name: state[name].clone()}
    changed[name].view(-1)[0] = value
    return changed


def test_nan_in_checkpoints_of_every_family(detector_state: dict[str, Tensor], tmp_path: Path) -> None:
    out = tmp_path / "x.bundle"
    vpp = files.save(poisoned(detector_state, next(iter(detector_state))), tmp_path / "vpp.pth")
    with pytest.raises(CheckpointError, match=r"1 weights of vpp-micro hold NaN or infinity: .* \(1 of "):
        vpp_deploy.export("vpp-micro", checkpoint=vpp, size=(64, 96), out=out)
    with tiny_models():
        base = lively(base_model(lookup("tiny_vit")), 1).state_dict()
        good = files.save(base, tmp_path / "good.pth")
        bad = files.save(poisoned(base, "head.weight", math.inf), tmp_path / "bad.pth")
        features = lively(timm.create_model("resnet18"), 3).state_dict()
        poor = files.save(poisoned(features, "conv1.weight"), tmp_path / "poor.pth")
        with pytest.raises(CheckpointError, match=r"base\.model\.head\.weight"):
            vpp_deploy.export("papr:tiny_vit", keep=1, checkpoint=bad, out=out)
        with pytest.raises(CheckpointError, match=r"proposal\.network\.conv1\.weight"):
            vpp_deploy.export(
                "papr:tiny_vit", proposal="resnet18", keep=0.5, checkpoint=good, proposal_checkpoint=poor, out=out
            )
    assert not out.exists()


@pytest.fixture
def _family() -> Iterator[None]:
    FAMILIES.register(FAMILY.name, FAMILY)
    yield
    del FAMILIES._records[FAMILY.name]


@pytest.mark.usefixtures("_family")
def test_models_in_memory(tmp_path: Path) -> None:
    model = Memory()
    model.head.weight.data[0, 0] = math.nan
    with pytest.raises(CheckpointError, match=r"head\.weight \(1 of 144\)"):
        vpp_deploy.export(model, out=tmp_path / "x.bundle")
    bundle = vpp_deploy.export(model, out=tmp_path / "x.bundle", allow_nonfinite=True)
    assert read_checkpoint(bundle.weights_path)["head.weight"][0, 0].isnan()
    half = Memory().bfloat16()
    bundle = vpp_deploy.export(half, out=tmp_path / "half.bundle")
    assert read_checkpoint(bundle.weights_path)["head.weight"].dtype == torch.float32
    assert half.head.weight.dtype == torch.bfloat16
    with pytest.raises(CheckpointError, match=r"head\.weight is a meta tensor"):
        vpp_deploy.export(Memory().to("meta"), out=tmp_path / "y.bundle")


@pytest.mark.usefixtures("_family")
def test_which_weights_of_an_export(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw, averaged, notes = Memory().state_dict(), lively(Memory(), 5).state_dict(), list[str]()
    path = files.save({"model": raw, "model_ema": {f"module.{k}": v for k, v in averaged.items()}}, tmp_path / "x.pth")
    name = "tensors-test:memory"
    bundle = vpp_deploy.export(name, checkpoint=path, weights="ema", out=tmp_path / "x.bundle", progress=notes.append)
    assert torch.equal(read_checkpoint(bundle.weights_path)["head.weight"], averaged["head.weight"])
    assert "takes the averaged (EMA) weights, 'model_ema'; --weights raw takes 'model'" in "".join(notes)
    with pytest.raises(UsageError, match="--weights chooses"):
        vpp_deploy.export(name, weights="ema", out=tmp_path / "y.bundle")
    assert main(["export", name, "--checkpoint", str(path), "-o", str(tmp_path / "raw.bundle")]) == 0
    said = capsys.readouterr().out
    assert "takes the raw weights, 'model'; --weights ema takes the averaged ones, 'model_ema'" in said.replace(
        "\n", " "
    )
    assert main(["export", name, "--random-weights", "--weights", "ema", "-o", str(tmp_path / "y.bundle")]) == 2
    assert main(["export", name, "--checkpoint", str(path), "--weights", "best", "-o", str(tmp_path / "y")]) == 9


def test_which_weights_of_a_proposal(tmp_path: Path) -> None:
    notes = list[str]()
    raw, averaged = (lively(timm.create_model("resnet18", num_classes=0), seed).state_dict() for seed in (1, 2))
    features = files.save({"model": raw, "model_ema": averaged}, tmp_path / "proposal.pth")
    with tiny_models():
        base = files.save(base_model(lookup("tiny_vit")).state_dict(), tmp_path / "base.pth")
        request = ExportRequest("papr:tiny_vit", tmp_path / "x.bundle", base, note=notes.append)
        for wanted, expected in ((None, raw), ("ema", averaged), ("model", raw)):
            options = PaprOptions(proposal="resnet18", proposal_checkpoint=features, proposal_weights=wanted)
            _, chosen = sources_of(lookup("tiny_vit"), "resnet18", request, options)
            loaded = load_proposal("resnet18", chosen.weights).network.state_dict()
            assert torch.equal(loaded["conv1.weight"], expected["conv1.weight"])
        assert "takes the raw weights, 'model'; --proposal-weights ema takes the averaged ones" in notes[0]
        with pytest.raises(UsageError, match="--proposal-weights chooses among the weights of a --proposal-checkpoint"):
            vpp_deploy.export("papr:tiny_vit", out=tmp_path / "x", checkpoint=base, proposal_weights="ema")


@pytest.mark.usefixtures("_family")
def test_shards_of_an_export(tmp_path: Path) -> None:
    folder = tmp_path / "hub"
    folder.mkdir()
    state = lively(Memory(), 5).state_dict()
    for number, part in enumerate((dict(list(state.items())[::2]), dict(list(state.items())[1::2])), start=1):
        safetensors.torch.save_file(part, folder / f"model-{number:05}-of-00002.safetensors")
    for given in (folder, folder / "model-00002-of-00002.safetensors"):
        bundle = vpp_deploy.export("tensors-test:memory", checkpoint=given, out=tmp_path / f"{given.name}.bundle")
        assert bundle.manifest.provenance.weights.name == given.name
        assert all(torch.equal(t, state[name]) for name, t in weights_of(bundle).items())


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("change", [*CHANGES, "nan"])
@pytest.mark.parametrize("name", ["pos_embed", "patch_embed.proj.weight", "head.weight", "blocks.1.norm1.bias"])
def test_types_and_ranks_of_evit_weights(name: str, change: str, tmp_path: Path) -> None:
    """Its position embedding is resized on the way."""
    with micro_size():
        state = EViT(published(NAME, parse_keep("1"), classes=7)).state_dict()
        changed = poisoned(state, name) if change == "nan" else {**state, name: CHANGES[change](state[name])}
        if change == "one dimension" and state[name].ndim == 1:
            return
        path = files.save(changed, tmp_path / "x.pth", "legacy")
        with pytest.raises(CheckpointError, match=re.escape(name)) as caught:
            vpp_deploy.export(f"evit:{NAME}", checkpoint=path, size=(64, 96), out=tmp_path / "x.bundle")
        assert "\n" not in str(caught.value)
        assert str(path) in str(caught.value) or change == "nan"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_evit_weights_of_other_precisions_and_behind_a_prefix(dtype: torch.dtype, tmp_path: Path) -> None:
    with micro_size():
        config = published(NAME, parse_keep("1"), size=(64, 96), classes=7)
        state = lively(EViT(config), 3).state_dict()
        stored = {f"module.{name}": tensor.to(dtype) for name, tensor in state.items()}
        request = ExportRequest("evit:x", tmp_path, files.save({"model": stored}, tmp_path / "x.pth"))
        weights, model = Weights.of(request), EViT(config)
        assert weights.rows("head.weight") == 7
        weights.fill(model)
    assert equal(model, {name: tensor.to(dtype).float() for name, tensor in state.items()})
