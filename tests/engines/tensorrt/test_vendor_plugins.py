"""Embedded plugins under NVIDIA's own Python files, of several TensorRT versions, with several versions of NumPy.

They come from the package index, without the native part (`native_part` stands for it). What works there must be what
`why_not_embedded` says.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import REPOSITORY
from vpp_deploy.engines.tensorrt import embedded_kernels
from vpp_deploy.engines.tensorrt.plugins import why_not_embedded

PROGRAM = """
import json, sys
import numpy
import tensorrt as trt
import tensorrt.plugin as trtp
from vpp_deploy.engines.tensorrt import embedded_plugins
from vpp_deploy.ops import PLUGIN_NAMESPACES

embedded_plugins.register(trt, trtp)
B, N, K, C = 2, 960, 528, 48
SCORES, MASK, TOKENS, INDICES, KEPT = (
    ((B, N), trt.DataType.FLOAT), ((B, N), trt.DataType.BOOL), ((B, N, C), trt.DataType.HALF),
    ((B, K), trt.DataType.INT32), ((B, K, C), trt.DataType.HALF),
)
LAYERS = [
    ("VppSelectTokens", [SCORES, MASK], {"k": K, "by_position": 1}),
    ("VppGatherTokens", [TOKENS, INDICES], {}),
    ("VppScatterTokens", [TOKENS, INDICES, KEPT], {}),
    ("VppAssociateParts", [TOKENS, KEPT, INDICES], {"rows": 24, "columns": 40, "parts": 9}),
    ("VppAssociateBest", [((B, 9, N, 2), trt.DataType.INT32)], {}),
    ("VppSelectTokens", [SCORES, MASK], {"k": K, "by_position": 0}),
]
answer = {"numpy": numpy.__version__, "built": [], "failure": None}
try:
    for plugin, inputs, attributes in LAYERS:
        built = trt.build(plugin, PLUGIN_NAMESPACES["embedded"], inputs, attributes)
        answer["built"].append([plugin, built.output, built.entry, built.grid, built.extra, built.ptx.decode()])
except Exception as error:
    answer["failure"] = f"{type(error).__name__}: {error}"
json.dump(answer, sys.stdout)
"""
VERSIONS = ("10.9.0.34", "10.14.1.48.post1", "10.15.1.29", "10.16.1.11", "11.1.0.106", "11.2.1.2", "11.4.0.106")
OTHER_NUMPY = ("2.3.5", "2.4.0")


def download(package: str, folder: Path) -> Path:
    """A wheel; skips where there is no network, or no such wheel for this Python."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--retries", "0", "--timeout", "10"]
    done = subprocess.run([*pip, "--only-binary", ":all:", "--dest", folder, package], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"{package} cannot be downloaded: {done.stderr.strip().splitlines()[-1]}")
    name, _, version = package.replace("-", "_").partition("==")
    return next(folder.glob(f"{name}-{version}-*.whl"))


@pytest.fixture(scope="module")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("wheels")


def vendor_files(version: str, downloads: Path) -> Path:
    """A folder with the package `tensorrt`: NVIDIA's plugin files, and what stands for the native part."""
    place = downloads / version
    if not place.is_dir():
        with zipfile.ZipFile(download(f"tensorrt-cu12-bindings=={version}", downloads)) as wheel:
            names = [name for name in wheel.namelist() if name.startswith("tensorrt_bindings/plugin/")]
            wheel.extractall(place, names)
        (place / "tensorrt_bindings").rename(place / "tensorrt")
        shutil.copy(Path(__file__).parent / "native_part.py", place / "tensorrt" / "__init__.py")
    return place


def build(version: str, downloads: Path, *more: Path) -> dict[str, Any]:
    paths = [str(vendor_files(version, downloads)), *map(str, more), str(REPOSITORY)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONWARNINGS": "ignore"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def check(version: str, found: dict[str, Any]) -> None:
    """It works exactly if we say so, and then every layer is what it should be."""
    why_not = why_not_embedded("tensorrt", version, found["numpy"])
    assert (found["failure"] is None) == (why_not is None), f"{found['failure']}, and we say: {why_not}"
    if why_not is None:
        assert [layer[:2] for layer in found["built"]] == [
            ["VppSelectTokens", [[2, 528], "INT32"]],
            ["VppGatherTokens", [[2, 528, 48], "HALF"]],
            ["VppScatterTokens", [[2, 960, 48], "HALF"]],
            ["VppAssociateParts", [[2, 9, 960, 2], "INT32"]],
            ["VppAssociateBest", [[2, 960], "INT32"]],
            ["VppSelectTokens", [[2, 528], "INT32"]],
        ]
        for _, _, entry, grid, extra, ptx in found["built"]:
            assert ptx == embedded_kernels.ptx(entry)
            assert min(grid) >= 1
            assert extra
        assert found["built"][0][4] == found["built"][5][4] == [960, 528]


@pytest.mark.parametrize("version", ["10.14.1.48.post1", "11.4.0.106"])
def test_what_works_is_what_is_said(version: str, downloads: Path) -> None:
    found = build(version, downloads)
    assert found["numpy"] == np.__version__
    check(version, found)


@pytest.mark.slow
@pytest.mark.parametrize("numpy", OTHER_NUMPY)
@pytest.mark.parametrize("version", VERSIONS)
def test_what_works_with_other_numpys_is_what_is_said(version: str, numpy: str, downloads: Path) -> None:
    place = downloads / f"numpy-{numpy}"
    if not place.is_dir():
        with zipfile.ZipFile(download(f"numpy=={numpy}", downloads)) as wheel:
            wheel.extractall(place)
    found = build(version, downloads, place)
    assert found["numpy"] == numpy
    check(version, found)
