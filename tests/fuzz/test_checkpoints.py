"""Checkpoints that are damaged: safetensors and both formats of PyTorch."""

from __future__ import annotations

import json
import random
import struct
from pathlib import Path

import pytest
import safetensors.torch
import torch

from tests.fuzz import mutation
from tests.fuzz.conftest import Fuzz
from tests.fuzz.reading_checkpoints import Small
from tests.fuzz.runner import Outcome, Runner

CALL = "tests.fuzz.reading_checkpoints:main"
TYPES = ("F64", "F16", "BF16", "I64", "U8", "BOOL", "F8_E4M3", "C64", "F4")


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The same weights in three formats."""
    folder = tmp_path_factory.mktemp("originals")
    torch.manual_seed(0)
    weights = Small().state_dict()
    safetensors.torch.save_file(weights, folder / "w.safetensors")
    torch.save({"state_dict": weights, "epoch": 3}, folder / "w.pth")
    torch.save({"model": weights}, folder / "w.pt", _use_new_zipfile_serialization=False)
    return {path.suffix: path.read_bytes() for path in folder.iterdir()}


def test_headers_of_safetensors(torch_runner: Runner, fuzz: Fuzz, originals: dict[str, bytes], tmp_path: Path) -> None:
    content = originals[".safetensors"]
    (length,) = struct.unpack("<Q", content[:8])
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]

    def case(generator: random.Random, number: int) -> Outcome:
        changed = mutation.as_json(mutation.damaged_json(header, generator, TYPES), generator)
        path = tmp_path / "w.safetensors"
        path.write_bytes(struct.pack("<Q", len(changed)) + changed + data)
        return torch_runner.run([path], tmp_path, CALL)

    fuzz("headers of safetensors", case)


def test_bytes_of_checkpoints(torch_runner: Runner, fuzz: Fuzz, originals: dict[str, bytes], tmp_path: Path) -> None:
    def case(generator: random.Random, number: int) -> Outcome:
        suffix = generator.choice(sorted(originals))
        path = tmp_path / f"w{suffix}"
        path.write_bytes(mutation.damaged(originals[suffix], generator, head=generator.choice((300, 3000, 1 << 20))))
        return torch_runner.run([path], tmp_path, CALL)

    fuzz("bytes of checkpoints", case)


def test_sound_checkpoints_are_read(torch_runner: Runner, originals: dict[str, bytes], tmp_path: Path) -> None:
    for suffix, content in originals.items():
        path = tmp_path / f"sound{suffix}"
        path.write_bytes(content)
        outcome = torch_runner.run([path], tmp_path, CALL)
        assert (outcome.code, [*outcome.faults()]) == (0, []), outcome.errors
