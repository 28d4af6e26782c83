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
