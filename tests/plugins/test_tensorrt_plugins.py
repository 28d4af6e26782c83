"""The TensorRT plugin library: compiles from headers, loads into a real registry, and is what graphs are built with.

Needs TensorRT's headers (`TENSORRT_INCLUDE_DIR`) and nvcc; the last two tests TensorRT-RTX too. No GPU.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from tests.conftest import REPOSITORY
from vpp_deploy import ops
from vpp_deploy.bundle import Bundle
from vpp_deploy.engines.tensorrt.plugin_library import PluginLibrary

NAMES = {"VppSelectTokens", "VppGatherTokens", "VppScatterTokens", "VppAssociateTokens"}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    headers = os.environ.get("TENSORRT_INCLUDE_DIR")
    if not headers:
        pytest.skip("TENSORRT_INCLUDE_DIR is not set: the plugin library needs TensorRT's headers")
    for tool in ("cmake", "c++", "nvcc"):
        if shutil.which(tool) is None:
            pytest.skip(f"no {tool} in PATH")
    build = tmp_path_factory.mktemp("plugins")
    options = (f"-DTENSORRT_INCLUDE_DIR={headers}", "-DCMAKE_CUDA_ARCHITECTURES=89")
    for command in (
        ["cmake", "-S", REPOSITORY / "plugins", "-B", build, *options],
        ["cmake", "--build", build, "--target", "vpp_plugins"],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "warning" not in done.stderr
    return build / "libvpp_plugins.so"


def test_the_library_tells_its_version_and_links_no_tensorrt(library: Path) -> None:
    from vpp_deploy import __version__

    read = PluginLibrary.read(library)
    assert read.version == __version__
    compiler = subprocess.run(["nvcc", "--version"], capture_output=True, text=True, check=True).stdout
    assert f"release {read.cuda}," in compiler
    needed = subprocess.run(["readelf", "-d", library], capture_output=True, text=True, check=True).stdout
    assert "nvinfer" not in needed
    assert "libcudart" not in needed


_REGISTER = """
import ctypes, sys
import tensorrt_rtx as trt
ctypes.CDLL(sys.argv[1])
registry = trt.get_plugin_registry()
assert registry.load_library(sys.argv[1]) is not None
for creator in registry.all_creators:
    if creator.name.startswith("Vpp"):
        print(creator.name, creator.plugin_version, repr(creator.plugin_namespace))
"""


def test_tensorrt_rtx_lists_the_creators(library: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    done = subprocess.run([sys.executable, "-c", _REGISTER, library], capture_output=True, text=True, check=True)
    assert set(done.stdout.splitlines()) == {f"{name} 1 ''" for name in NAMES}


def test_the_graphs_are_built_with_plugins(library: Path, micro_bundle: Bundle, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    bundle = Bundle.open(shutil.copytree(micro_bundle.path, tmp_path / "copy.bundle"))
    command = ["build-engine", bundle.path, "--engine", "tensorrt-rtx", "--compute-capability", "8.9"]
    plugins = ["--plugins", "library", "--plugin-library", library]
    done = subprocess.run(
        [sys.executable, "-m", "vpp_deploy", *command, *plugins], capture_output=True, text=True, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    record = json.loads((bundle.engine_folder("tensorrt-rtx") / "engine.json").read_text())
    assert record["details"]["plugins"] == PluginLibrary.read(library).record.model_dump()
    for phase in ("init", "step"):
        nodes = ops.vpp_nodes(onnx.load(bundle.graph_path(phase), load_external_data=False))
        expected = sum(ops.OPS[node.op_type].plugin is not None for node in nodes)
        assert record["details"][phase]["plugin_layers"] == expected > 10
