"""Exports in float16 pass the check with the tolerances of float16, and with those alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import vpp_deploy
from tests.families.papr.tiny import tiny_models
from vpp_deploy import PaprConfig, RandomWeights
from vpp_deploy.bundle import Bundle
from vpp_deploy.demo.scenes import render_clip
from vpp_deploy.exporters.precision import tolerances_of
from vpp_deploy.exporters.signature import GraphSignature
from vpp_deploy.families.vpp import export as vpp_export
from vpp_deploy.frames import Frame
from vpp_deploy.tasks import check_parity


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """The models are so small that threads cost more than they give."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def as_frames(images: np.ndarray) -> list[Frame]:
    return [Frame(image, image.shape[:2], image, index, name=f"{index}.png") for index, image in enumerate(images)]


def test_a_vpp_model(micro_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def traced(module: nn.Module, signed: GraphSignature, *_: str) -> onnx.ModelProto:  # it takes half a minute
        return onnx.load(micro_bundle.graph_path(signed.role))

    monkeypatch.setattr(vpp_export, "trace", traced)
    bundle = vpp_deploy.export(
        "vpp-micro",
        out=tmp_path / "half.bundle",
        random_weights=RandomWeights(0),
        keep="0.55",
        size=(128, 192),
        precision="float16",
    )
    engine = vpp_deploy.build_engine(bundle)
    frames = as_frames(render_clip("val", 0, 0, frames=4, size=engine.frame_size).frames)
    report = check_parity(bundle, engine, frames, frames=4)
    assert (report.precision, report.tolerances) == ("float16", tolerances_of("float16").segmentation)
    assert report.problems == []
    assert any(frame.teacher_forced.comparable for frame in report.frames)
    assert not replace(report, tolerances=tolerances_of("float32").segmentation).passed


def test_a_papr_model(tmp_path: Path) -> None:
    with tiny_models():
        config = PaprConfig("tiny_vit", 0.5, proposal="resnet18", size=(64, 96))
        bundle = vpp_deploy.export(
            config, out=tmp_path / "half.bundle", random_weights=RandomWeights(1), batch=2, precision="float16"
        )
        engine = vpp_deploy.build_engine(bundle)
        images = np.random.default_rng(7).integers(0, 256, (4, 64, 96, 3), np.uint8)
        report = check_parity(bundle, engine, as_frames(images), frames=4)
    assert (report.precision, report.tolerances) == ("float16", tolerances_of("float16").classification)
    assert report.problems == []
    assert not replace(report, tolerances=tolerances_of("float32").classification).passed
