"""Checkpoints load strictly by the official names, and never run code."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import safetensors.torch
import torch

from tests.families.vpp import golden
from tests.golden_data import read_json
from vpp_deploy.errors import CheckpointError
from vpp_deploy.exporters.checkpoint import read_checkpoint
from vpp_deploy.families.vpp.checkpoint import load_detector, official_state_dict
from vpp_deploy.families.vpp.config import DetectorConfig, model_config
from vpp_deploy.families.vpp.detector import VppDetector
from vpp_deploy.families.vpp.random_weights import randomise_


@pytest.fixture(scope="module")
def config() -> DetectorConfig:
    return model_config("vpp-micro")


@pytest.fixture(scope="module")
def state_dict(config: DetectorConfig) -> dict[str, torch.Tensor]:
    return official_state_dict(randomise_(VppDetector(config), 3))


def same(detector: VppDetector, tensors: dict[str, torch.Tensor]) -> bool:
    loaded = official_state_dict(detector)
    return loaded.keys() == tensors.keys() and all(torch.equal(loaded[name], tensors[name]) for name in tensors)


@pytest.mark.golden
@pytest.mark.parametrize(
    ("file", "model", "selection_width"),
    [
        ("keys_tiny_detector.json", "vpp-tiny", None),
        ("keys_small_fixed_detector.json", "vpp-small", None),
        ("keys_small_as_written_detector.json", "vpp-small", 192),
    ],
)
def test_names_and_shapes_are_those_of_the_official_checkpoints(
    vpp_golden: Path, file: str, model: str, selection_width: int | None
) -> None:
    official = read_json(vpp_golden / file)
    with torch.device("meta"):
        detector = VppDetector(golden.with_selection_width(model, selection_width))
    ours = {name: list(tensor.shape) for name, tensor in official_state_dict(detector).items()}
    assert ours == official


def test_safetensors_and_mmengine_files_give_the_same_detector(
    config: DetectorConfig, state_dict: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    safetensors.torch.save_file(state_dict, tmp_path / "plain.safetensors")
    torch.save(state_dict, tmp_path / "plain.pth")
    torch.save({"meta": {"epoch": 6}, "state_dict": OrderedDict(state_dict)}, tmp_path / "wrapped.pth")
    for path in tmp_path.iterdir():
        assert same(load_detector(config, path), state_dict)


def test_training_metadata_of_mmengine_is_read_as_inert(
    config: DetectorConfig, state_dict: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    """mmengine pickles its log buffers, with numpy arrays inside, next to the weights."""
    path = tmp_path / "epoch_6.pth"
    torch.save({"message_hub": Disguised(), "state_dict": state_dict}, path)
    rename_global(
        path, b"tests.families.vpp.test_checkpoint\nbuffer", b"mmengine.logging.history_buffer\nHistoryBuffer"
    )
    assert same(load_detector(config, path), state_dict)


class Disguised:
    """Unpickles by calling `buffer` of this module."""

    def __reduce__(self):
        return buffer, (1, [2])


def buffer(*args):  # called only if a checkpoint could run code
    raise AssertionError("code from the checkpoint ran")


def rename_global(path: Path, old: bytes, new: bytes) -> None:
    """Change the name of a pickled global in a PyTorch zip file."""
    with zipfile.ZipFile(path) as archive:
        members = [(item.filename, archive.read(item)) for item in archive.infolist()]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members:
            assert not name.endswith("data.pkl") or old in content
            archive.writestr(name, content.replace(old, new) if name.endswith("data.pkl") else content)


class Attack:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("save", ["torch", "pickle"])
def test_a_pickle_that_runs_code_is_refused_and_does_not_run(config: DetectorConfig, save: str, tmp_path: Path) -> None:
    path, trace = tmp_path / "evil.pth", tmp_path / "it-ran"
    if save == "torch":
        torch.save({"state_dict": {}, "hook": Attack(trace)}, path)
    else:
        path.write_bytes(pickle.dumps(Attack(trace)))
    with pytest.raises(CheckpointError) as caught:
        load_detector(config, path)
    assert not trace.exists()
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    if save == "torch":
        assert "mkdir" in str(caught.value)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("damage", ["missing", "empty", "garbage", "truncated"])
def test_damaged_files(
    config: DetectorConfig, state_dict: dict[str, torch.Tensor], suffix: str, damage: str, tmp_path: Path
) -> None:
    path = tmp_path / f"weights{suffix}"
    if damage == "truncated":
        (safetensors.torch.save_file if suffix == ".safetensors" else torch.save)(state_dict, path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif damage != "missing":
        path.write_bytes(b"" if damage == "empty" else b"not a checkpoint" * 99)
    with pytest.raises(CheckpointError, match=path.name) as caught:
        load_detector(config, path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [torch.zeros(3), {"epoch": 3}, {"state_dict": {}}])
def test_files_without_named_tensors(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=r"x\.pth: holds"):
        read_checkpoint(tmp_path / "x.pth")


def test_a_partial_checkpoint_is_described_with_a_handful_of_names(
    config: DetectorConfig, state_dict: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    tensors = dict(state_dict)
    dropped = [name for name in tensors if ".blocks.3." in name]
    for name in dropped:
        del tensors[name]
    tensors["teacher.weight"] = torch.zeros(2)
    tensors["detector.panoptic_head.cls_embed.bias"] = torch.zeros(41)
    safetensors.torch.save_file(tensors, tmp_path / "partial.safetensors")
    with pytest.raises(CheckpointError) as caught:
        load_detector(config, tmp_path / "partial.safetensors")
    message = str(caught.value)
    assert f"{len(dropped)} missing" in message
    assert f"and {len(dropped) - 5} more" in message
    assert "1 unexpected: teacher.weight" in message
    assert "cls_embed.bias [41] instead of [6]" in message
    assert "\n" not in message


def test_a_dense_model_takes_a_pruned_checkpoint(state_dict: dict[str, torch.Tensor], tmp_path: Path) -> None:
    safetensors.torch.save_file(state_dict, tmp_path / "pruned.safetensors")
    detector = load_detector(model_config("vpp-micro", "dense"), tmp_path / "pruned.safetensors")
    loaded = official_state_dict(detector)
    assert 0 < len(loaded) < len(state_dict)
    assert all(torch.equal(tensor, state_dict[name]) for name, tensor in loaded.items())
    assert detector.config.backbone.block_norm_eps == 1e-5  # what these weights were trained with
    safetensors.torch.save_file(loaded, tmp_path / "dense.safetensors")
    detector = load_detector(model_config("vpp-micro", "dense"), tmp_path / "dense.safetensors")
    assert detector.config.backbone.block_norm_eps == 1e-6


def test_half_precision_weights_become_float32(
    config: DetectorConfig, state_dict: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    halves = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state_dict.items()}
    safetensors.torch.save_file(halves, tmp_path / "half.safetensors")
    detector = load_detector(config, tmp_path / "half.safetensors")
    assert {tensor.dtype for tensor in detector.state_dict().values()} == {torch.float32, torch.int64}


def test_selection_modules_of_the_wrong_width_are_explained(tmp_path: Path) -> None:
    """The published Small configuration gives its selection modules a width that cannot run."""
    odd = golden.with_selection_width("vpp-micro", 24)
    safetensors.torch.save_file(official_state_dict(VppDetector(odd)), tmp_path / "odd.safetensors")
    with pytest.raises(CheckpointError, match="only serves the keep schedule dense"):
        load_detector(model_config("vpp-micro"), tmp_path / "odd.safetensors")
    load_detector(model_config("vpp-micro", "dense"), tmp_path / "odd.safetensors")
