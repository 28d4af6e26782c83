"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import vpp_deploy

REPOSITORY = Path(__file__).parent.parent
SHARED = REPOSITORY.parent / "shared"


@pytest.fixture(scope="session")
def vpp_golden() -> Path:
    """The folder of reference data of the original VPP model."""
    folder = Path(os.environ.get("VPP_GOLDEN_DIR", SHARED / "golden" / "vpp"))
    if not (folder / "config.json").is_file():
        pytest.skip(f"no golden data: {folder} has no config.json (set VPP_GOLDEN_DIR)")
    return folder


@pytest.fixture(scope="session")
def micro_bundle(tmp_path_factory: pytest.TempPathFactory) -> vpp_deploy.Bundle:
    """A vpp-micro bundle at 128x192 with random weights and an ONNX Runtime engine. Shared: do not write to it."""
    bundle = vpp_deploy.export(
        "vpp-micro",
        out=tmp_path_factory.mktemp("micro") / "micro.bundle",
        random_weights=vpp_deploy.RandomWeights(0),
        keep="0.55",
        size=(128, 192),
    )
    vpp_deploy.build_engine(bundle, "onnxruntime")
    return bundle


@pytest.fixture(scope="session")
def papr_bundle(tmp_path_factory: pytest.TempPathFactory) -> vpp_deploy.Bundle:
    """A pruned ViT-Tiny at 64x96, batch 2, with random weights and an ONNX Runtime engine. Shared: do not write to it.

    Its grid is 4x6 patches; 12 of them stay.
    """
    from vpp_deploy.exporters.papr_exporter import export_papr
    from vpp_deploy.models.papr.config import PaprConfig

    bundle = export_papr(
        PaprConfig("papr:vit_tiny_patch16_224", 0.5, size=(64, 96)),
        out=tmp_path_factory.mktemp("papr") / "tiny.bundle",
        random_weights=vpp_deploy.RandomWeights(0),
        batch=2,
    )
    vpp_deploy.build_engine(bundle, "onnxruntime")
    return bundle
