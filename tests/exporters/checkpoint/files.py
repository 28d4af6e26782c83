"""Files of weights, and how they are compared."""

from __future__ import annotations

import io
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from vpp_deploy.errors import CheckpointError
from vpp_deploy.exporters.checkpoint import CheckpointFile, read_checkpoint

FORMATS = ("zip", "legacy")


def state() -> dict[str, Tensor]:
    """A small state dict, in an order that is not that of the names."""
    generator = torch.Generator().manual_seed(3)
    made = {
        f"layer.{number}.{part}": torch.randn(shape, generator=generator)
        for number in (2, 0, 1)
        for part, shape in (("weight", (3, 4)), ("bias", (3,)))
    }
    return OrderedDict({**made, "layer.0.num_batches_tracked": torch.tensor(7)})


def save(content: Any, path: Path, form: str = "zip", protocol: int = 2) -> Path:
    """`torch.save` in today's format or in that of before 1.6."""
    torch.save(content, path, pickle_protocol=protocol, _use_new_zipfile_serialization=form == "zip")
    return path


def repacked(path: Path, changes: Mapping[str, bytes] = {}, method: int = zipfile.ZIP_STORED) -> Path:
    """A zip file of PyTorch, written again by Python, with other content for some names (without the folder)."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    folder = next(name for name in entries if name.endswith("data.pkl")).removesuffix("data.pkl")
    entries.update({folder + name: content for name, content in changes.items()})
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", method) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    path.write_bytes(data.getvalue())
    return path


def same(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> bool:
    """Same names in the same order, types, shapes and bits."""
    return list(found) == list(expected) and all(
        found[name].dtype == tensor.dtype and torch.equal(found[name], tensor) for name, tensor in expected.items()
    )


def refusal(source: Path | CheckpointFile) -> str:
    """The one line that refuses a checkpoint."""
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(source)
    message = str(caught.value)
    assert "\n" not in message
    assert str(source) in message
    assert len(message) < len(str(source)) + 1000
    return message
