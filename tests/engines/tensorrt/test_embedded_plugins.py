"""Embedded plugins: the kernels in the package, their launches, and what TensorRT is told about them."""

from __future__ import annotations

import importlib.util
import inspect
import re
import shutil
import subprocess
from collections.abc import Callable
from math import ceil
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.conftest import REPOSITORY
from vpp_deploy.engines.tensorrt import embedded_kernels, embedded_plugins
from vpp_deploy.errors import PluginError
from vpp_deploy.ops import OPS

TABLE = (REPOSITORY / "plugins" / "kernels" / "embedded.cuh").read_text()
ENTRIES = re.findall(r"^// (vpp_\w+)  ", TABLE, re.MULTILINE)


@pytest.fixture(scope="module")
def embed() -> ModuleType:
    """plugins/embed.py."""
    spec = importlib.util.spec_from_file_location("embed", REPOSITORY / "plugins" / "embed.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_package_has_the_kernels_of_these_sources(embed: ModuleType) -> None:
    """If it fails, run: python plugins/embed.py."""
    assert f"sources sha256 {embed.sources_hash()}\n" in embedded_kernels.ptx(ENTRIES[0])


def test_every_entry_is_a_module_of_its_own(tmp_path: Path) -> None:
    assert len(ENTRIES) == 9
    for entry in ENTRIES:
        ptx = embedded_kernels.ptx(entry)
        assert re.findall(r"\.visible \.entry (\w+)\(", ptx) == [entry]
        assert ".version 7.8" in ptx
        if assembler := shutil.which("ptxas"):
            (tmp_path / "kernel.ptx").write_text(ptx)
            command = [assembler, "-arch=sm_80", "-o", tmp_path / "cubin", tmp_path / "kernel.ptx"]
            subprocess.run(command, check=True, capture_output=True)


@pytest.mark.slow
def test_the_file_is_what_nvcc_makes(embed: ModuleType) -> None:
    if shutil.which("nvcc") is None:
        pytest.skip("no nvcc in PATH")
    names = re.compile(r"_INTERNAL_\w+")  # hold a hash of the file's path
    compiled = embed.compiled()
    for entry in ENTRIES:
        parameters = re.search(rf"\.entry {entry}\(([^)]*)\)", compiled)[1]
        assert parameters in names.sub("", embedded_kernels.ptx(entry))


def test_launches_are_those_of_the_table() -> None:
    b, n, k, c = 2, 2040, 1122, 384
    select = embedded_kernels.select((b, n), k, by_position=True)
    assert (select.entry, select.arguments, select.grid, select.block) == (
        "vpp_select_embedded",
        (n, k),
        (b, 1, 1),
        1024,
    )
    assert select.shared_bytes == 0
    ranked = embedded_kernels.select((b, n), k, by_position=False)
    assert (ranked.entry, ranked.shared_bytes) == ("vpp_select_by_score_embedded", 2 * k)
    for dtype, suffix, elements, row_bytes in (("float32", "f32", 4096, 4 * c), ("bfloat16", "f16", 8192, 2 * c)):
        gather = embedded_kernels.gather((b, n, c), k, dtype)
        assert gather.entry == f"vpp_gather_embedded_{suffix}"
        assert (gather.arguments, gather.grid, gather.block) == ((n, k, c), (ceil(k * c / elements), b, 1), 256)
        scatter = embedded_kernels.scatter((b, n, c), k, dtype)
        rows = ceil(32768 / row_bytes)
        assert (scatter.entry, scatter.grid) == (f"vpp_scatter_embedded_{suffix}", (ceil(n / rows), b, 1))
    large = embedded_kernels.scatter((1, 65536, 1), 60000, "float16")
    assert large.grid == (65536 // 2048, 1, 1)
    associate = embedded_kernels.associate((b, n, c), k, (34, 60), "bfloat16")
    assert associate.entry == "vpp_associate_embedded_bf16"
    assert (associate.arguments, associate.grid, associate.block) == ((k, c, 34, 60), (64, 1, b), 256)


def test_a_selection_that_does_not_fit_shared_memory() -> None:
    embedded_kernels.select((1, 9216), 4096, by_position=False)
    with pytest.raises(PluginError, match="at most 4096 tokens by score, not 4097; build with --plugins library"):
        embedded_kernels.select((1, 9216), 4097, by_position=False)


class Tensor(SimpleNamespace):
    """`tensorrt.plugin.TensorDesc`, as far as it is used."""


class FakePlugin:
    """`tensorrt.plugin`: keeps what is registered."""

    TensorDesc = Tensor

    class KernelLaunchParams(SimpleNamespace):
        pass

    class SymIntExprs(list):
        def __init__(self, length: int) -> None:
            super().__init__([None] * length)

    SymInt32 = int

    def __init__(self) -> None:
        self.described: dict[str, Callable[..., Any]] = {}
        self.implemented: dict[str, Callable[..., Any]] = {}

    def register(self, name: str) -> Callable[[Callable[..., Any]], None]:
        return lambda function: self.described.update({name: function})

    def aot_impl(self, name: str) -> Callable[[Callable[..., Any]], None]:
        return lambda function: self.implemented.update({name: function})

    def from_shape_expr(self, shape: tuple[int, ...], dtype: Any) -> Tensor:
        return tensor(shape, dtype)


def tensor(shape: tuple[int, ...], dtype: Any) -> Tensor:
    return Tensor(shape=shape, shape_expr=shape, dtype=dtype)


def dtype(name: str) -> SimpleNamespace:
    return SimpleNamespace(name=name)


FLOAT, HALF, BOOL, INT32 = map(dtype, ("FLOAT", "HALF", "BOOL", "INT32"))
CASES = {
    "SelectTokens": ([((2, 960), FLOAT), ((2, 960), BOOL)], {"k": 528, "by_position": 0}, ((2, 528), INT32)),
    "GatherTokens": ([((2, 960, 48), HALF), ((2, 528), INT32)], {}, ((2, 528, 48), HALF)),
    "ScatterTokens": (
        [((2, 960, 48), FLOAT), ((2, 528), INT32), ((2, 528, 48), FLOAT)],
        {},
        ((2, 960, 48), FLOAT),
    ),
    "AssociateTokens": (
        [((2, 960, 48), HALF), ((2, 528, 48), HALF), ((2, 528), INT32)],
        {"rows": 24, "columns": 40},
        ((2, 960), INT32),
    ),
}


@pytest.fixture(scope="module")
def registered() -> FakePlugin:
    plugin = FakePlugin()
    embedded_plugins.register(SimpleNamespace(int32=INT32), plugin)
    return plugin


@pytest.mark.parametrize("op", CASES)
def test_tensorrt_learns_each_op(op: str, registered: FakePlugin) -> None:
    inputs, attributes, (shape, kind) = CASES[op]
    name = f"vpp::{OPS[op].plugin}"
    describe, implement = registered.described[name], registered.implemented[name]
    expected = dict.fromkeys(OPS[op].inputs, Tensor) | dict.fromkeys(OPS[op].attributes, int)
    assert {n: p.annotation for n, p in inspect.signature(describe).parameters.items()} == expected
    assert [*inspect.signature(implement).parameters] == [*expected, "outputs", "tactic"]

    tensors = [tensor(*spec) for spec in inputs]
    output = describe(*tensors, **dict(reversed(attributes.items())))  # TensorRT gives attributes by name here
    assert (output.shape, output.dtype) == (shape, kind)
    entry, ptx, parameters, extra = implement(*tensors, *attributes.values(), (output,), 0)  # and by position here
    assert ptx == embedded_kernels.ptx(entry)
    assert parameters.block_x in (256, 1024)
    assert all(type(value) is int and value > 0 for value in extra)
    taken = re.search(rf"void {entry}\(([^)]*)\)", TABLE)[1]
    assert taken.count("int32_t ") == len(extra) + taken.count("const int32_t ")


def test_every_plugin_of_the_ops_is_embedded(registered: FakePlugin) -> None:
    names = {f"vpp::{op.plugin}" for op in OPS.values() if op.plugin}
    assert set(registered.described) == set(registered.implemented) == names
