"""Bundles in folders whose names are no text: libraries that take only UTF-8 are given another way there."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.bundle.classifier_factory import make_classifier
from vpp_deploy.bundle import Bundle
from vpp_deploy.engines import BACKENDS, build_engine, load_engine

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="names that are not UTF-8 are a thing of Linux")
NAMES = (b"\xff\xfe.bundle", b"latin \xe9\n.bundle", "é\u2028.bundle".encode())


@pytest.mark.parametrize("name", NAMES)
def test_onnx_runtime_builds_and_runs(tmp_path: Path, name: bytes) -> None:
    made = make_classifier(tmp_path / "plain.bundle")
    bundle = Bundle.open(made.path.rename(tmp_path / os.fsdecode(name)))
    build_engine(bundle, "onnxruntime")
    (spec,) = bundle.manifest.graphs["model"].inputs
    outputs = load_engine(bundle, "onnxruntime").open_stream().run({spec.name: np.zeros(spec.shape, np.uint8)})
    assert outputs["logits"].argmax(1).tolist() == [0] * spec.shape[0]


@pytest.mark.skipif(BACKENDS["tensorrt-rtx"].version() is None, reason="tensorrt-rtx is not installed")
def test_tensorrt_rtx_builds(tmp_path: Path) -> None:
    made = make_classifier(tmp_path / "plain.bundle")
    bundle = Bundle.open(made.path.rename(tmp_path / os.fsdecode(NAMES[0])))
    build_engine(bundle, "tensorrt-rtx", compute_capabilities=("8.9",))
    assert (bundle.engine_folder("tensorrt-rtx") / "model.engine").stat().st_size > 1000
