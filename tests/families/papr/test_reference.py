"""The PyTorch reference of a PaPr bundle is the module that was exported, and nothing else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

import vpp_deploy
from tests.bundle.factory import make_bundle
from tests.families.papr.tiny import pixels
from vpp_deploy.bundle import ClassificationManifest
from vpp_deploy.errors import CheckpointError, ConfigError, UsageError
from vpp_deploy.exporters.classifier import ClassifierGraph
from vpp_deploy.families.papr.catalogue import papr_model
from vpp_deploy.families.papr.config import PaprConfig
from vpp_deploy.families.papr.reference import PaprTorchEngine


@pytest.fixture(scope="module")
def engine(papr_bundle: vpp_deploy.Bundle) -> PaprTorchEngine:
    return PaprTorchEngine(papr_bundle)


@pytest.fixture
def own(papr_bundle: vpp_deploy.Bundle, tmp_path: Path) -> Path:
    return Path(shutil.copytree(papr_bundle.path, tmp_path / "own.bundle"))


def test_it_is_the_exported_module(papr_bundle: vpp_deploy.Bundle, engine: PaprTorchEngine) -> None:
    manifest = ClassificationManifest.of(papr_bundle.manifest, "this test")
    config = PaprConfig.from_dict(manifest.model.config)
    graph = ClassifierGraph(papr_model(config, weights=0, proposal_weights=0), manifest.preprocessing)
    inputs = pixels(papr_bundle)
    with torch.no_grad():
        expected = graph(torch.from_numpy(inputs["images"]))
    given = engine.open_stream().run(inputs)
    assert list(given) == ["logits", "significance_patches", "kept_patches"]
    for array, tensor in zip(
        given.values(), (expected.logits, expected.significance[0], expected.kept[0]), strict=True
    ):
        np.testing.assert_array_equal(array, tensor.numpy())


def test_streams_have_no_memory(papr_bundle: vpp_deploy.Bundle, engine: PaprTorchEngine) -> None:
    stream = engine.open_stream()
    first = stream.run(pixels(papr_bundle))
    stream.run(pixels(papr_bundle, seed=1))
    np.testing.assert_array_equal(stream.run(pixels(papr_bundle))["logits"], first["logits"])
    assert dict(stream.snapshot().tensors) == {}
    assert (engine.backend, engine.precision, engine.frame_size) == ("torch", "float32", (64, 96))


def test_rerun_takes_the_patches_that_it_is_given(papr_bundle: vpp_deploy.Bundle, engine: PaprTorchEngine) -> None:
    inputs = pixels(papr_bundle)
    usual = engine.open_stream().run(inputs)
    np.testing.assert_array_equal(engine.rerun(inputs, {"patches": usual["kept_patches"]})["logits"], usual["logits"])
    others = np.stack([np.setdiff1d(np.arange(24, dtype=np.int32), row) for row in usual["kept_patches"]])
    turned = engine.rerun(inputs, {"patches": others})
    np.testing.assert_array_equal(turned["kept_patches"], others)
    assert np.abs(turned["logits"] - usual["logits"]).max() > 1e-3
    np.testing.assert_array_equal(engine.open_stream().run(inputs)["logits"], usual["logits"])  # the hook is gone


def test_altered_weights_are_refused(own: Path) -> None:
    weights = own / "weights.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(vpp_deploy.VppDeployError, match="was altered"):
        vpp_deploy.Bundle.open(own)


def test_weights_that_do_not_fit_are_refused(own: Path) -> None:
    bundle = vpp_deploy.Bundle.open(own)
    tensors = safetensors.torch.load_file(bundle.weights_path)
    del tensors["base.model.head.weight"]
    safetensors.torch.save_file(tensors, bundle.weights_path)
    with pytest.raises(CheckpointError, match=r"1 missing: base\.model\.head\.weight"):
        PaprTorchEngine(bundle)


def test_a_configuration_of_another_version_is_refused(own: Path) -> None:
    path = own / "manifest.json"
    content = json.loads(path.read_text())
    content["model"]["config"]["tokens"] = 7
    path.write_text(json.dumps(content))
    with pytest.raises(ConfigError, match="unknown fields tokens"):
        PaprTorchEngine(vpp_deploy.Bundle.open(own))


def test_a_bundle_of_another_family_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"needs a bundle for classification; tiny \(family vpp\) is for segmentation"):
        PaprTorchEngine(make_bundle(tmp_path / "vpp.bundle"))
