"""Entries for the catalogue whose models take a second to export."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np
import pytest

import vpp_deploy
from vpp_deploy.engines.protocols import Array
from vpp_deploy.families.papr.names import CATALOGUE, CatalogueEntry
from vpp_deploy.families.papr.reference import PaprTorchEngine

_VIT: Final = {"img_size": 64, "embed_dim": 32, "depth": 4, "num_heads": 2, "num_classes": 5}
_SWIN: Final = {"embed_dim": 16, "depths": (2, 1, 1, 1), "num_heads": (1, 2, 2, 2), "num_classes": 5}
_CLIPS: Final = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16, "num_labels": 3,
    "num_frames": 4, "image_size": 64,
}  # fmt: skip
ENTRIES: Final = (
    CatalogueEntry("tiny_vit", "vit_tiny_patch16_224", _VIT, published=False),
    CatalogueEntry("tiny_swin", "swin_tiny_patch4_window7_224", _SWIN, published=False),
    CatalogueEntry("tiny_clips", "none", _CLIPS, clips=True, published=False),
)


@contextmanager
def tiny_models() -> Iterator[None]:
    """Inside the block the catalogue knows `tiny_vit`, `tiny_swin` and `tiny_clips`."""
    with pytest.MonkeyPatch.context() as patch:
        for entry in ENTRIES:
            patch.setitem(CATALOGUE, entry.name, entry)
        yield


def pixels(bundle: vpp_deploy.Bundle, seed: int = 0) -> dict[str, Array]:
    """A random input of a bundle's graph."""
    (spec,) = bundle.manifest.graphs["model"].inputs
    return {spec.name: np.random.default_rng(seed).integers(0, 256, spec.shape, dtype=np.uint8)}


def assert_engine_agrees(bundle: vpp_deploy.Bundle, tolerance: float = 1e-4) -> None:
    """ONNX Runtime computes what PyTorch computes, and keeps the same patches."""
    inputs = pixels(bundle)
    engine = vpp_deploy.build_engine(bundle, "onnxruntime").open_stream().run(inputs)
    reference = PaprTorchEngine(bundle).open_stream().run(inputs)
    assert engine.keys() == reference.keys()
    for name, expected in reference.items():
        if expected.dtype == np.int32:  # their order may differ where two significances are equal up to rounding
            np.testing.assert_array_equal(np.sort(engine[name]), np.sort(expected))
        else:
            np.testing.assert_allclose(engine[name], expected, rtol=0, atol=tolerance)
    assert reference["logits"].std() > 0.01
