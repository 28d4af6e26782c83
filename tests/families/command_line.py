"""What the tests of families from the command line share: pictures, and checkpoints of a size that is quick."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from vpp_deploy.bundle import Bundle, ClassificationManifest
from vpp_deploy.cli.main import main
from vpp_deploy.families.dynamicvit import config as dynamicvit
from vpp_deploy.families.evit import config as evit

NAME = "deit_micro"


@contextmanager
def micro_size() -> Iterator[None]:
    """Inside the block both DeiT families publish a size of 32 channels."""
    with pytest.MonkeyPatch.context() as patch:
        for published in (dynamicvit.PUBLISHED, evit.PUBLISHED):
            patch.setitem(published, NAME, (32, 2))  # type: ignore[arg-type]
        yield


def exported(out: Path, model: str, keep: str) -> Bundle:
    """A bundle for two images of 64x96 with random weights and an ONNX Runtime engine."""
    words = ("export", model, "--random-weights", "--keep", keep, "--size", "64x96", "--batch", "2", "-o", str(out))
    assert main(words) == 0
    assert main(("build-engine", str(out))) == 0
    return Bundle.open(out)


def manifest_of(bundle: Bundle) -> ClassificationManifest:
    return ClassificationManifest.of(bundle.manifest, "this test")


def write_photos(folder: Path, count: int = 3) -> Path:
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (count, 9, 12, 3), np.uint8)
    for number, image in enumerate(pixels):
        Image.fromarray(image).resize((120, 90)).save(folder / f"{number}.png")
    return folder


def write_checkpoint(model: nn.Module, path: Path) -> dict[str, torch.Tensor]:
    """As DeiT's own training writes it."""
    generator = torch.Generator().manual_seed(5)
    tensors = {
        name: tensor + 0.1 * torch.randn(tensor.shape, generator=generator)
        for name, tensor in model.state_dict().items()
    }
    torch.save({"model": tensors, "epoch": 7}, path)
    return tensors
