"""Drives the program `vpp_runtime_check`: cases out, results back, with arrays in a file next to the JSON."""

from __future__ import annotations

import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Runtime:
    """A build of the C++ library and its tests."""

    build: Path

    def run(self, command: str, cases: list[Any]) -> list[Any]:
        """The result of each case. Arrays may stand anywhere in cases and results."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            arrays = bytearray()
            (folder / "cases.json").write_text(json.dumps(_store(cases, arrays)))
            (folder / "arrays.bin").write_bytes(arrays)
            program = self.build / "tests" / "vpp_runtime_check"
            done = subprocess.run([program, command, folder], capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            results = json.loads((folder / "results.json").read_text())
            loaded: list[Any] = _load(results, (folder / "results.bin").read_bytes())
            return loaded


def _store(value: Any, arrays: bytearray) -> Any:
    if isinstance(value, np.ndarray):
        value = value.view(np.uint8) if value.dtype == np.bool_ else value
        offset = len(arrays)
        arrays += np.ascontiguousarray(value, value.dtype.newbyteorder("<")).tobytes()
        return {"dtype": value.dtype.name, "shape": value.shape, "offset": offset}
    if isinstance(value, dict):
        return {name: _store(item, arrays) for name, item in value.items()}
    return [_store(item, arrays) for item in value] if isinstance(value, list | tuple) else value


def _load(value: Any, arrays: bytes) -> Any:
    if isinstance(value, dict) and value.keys() == {"dtype", "shape", "offset"}:
        dtype = np.dtype(value["dtype"]).newbyteorder("<")
        count = int(np.prod(value["shape"], dtype=np.int64))
        return np.frombuffer(arrays, dtype, count, value["offset"]).reshape(value["shape"])
    if isinstance(value, dict):
        return {name: _load(item, arrays) for name, item in value.items()}
    return [_load(item, arrays) for item in value] if isinstance(value, list) else value
