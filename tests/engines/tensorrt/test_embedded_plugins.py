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
from vpp_deploy.ops.base import NodeSignature

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
    assert len(ENTRIES) == 10
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
    parts = embedded_kernels.associate_parts((b, n, c), k, (34, 60), 9, "bfloat16")
    assert parts.entry == "vpp_associate_parts_embedded_bf16"
    assert (parts.arguments, parts.grid, parts.block) == ((k, c, 34, 60), (32, 9, b), 128)
    assert embedded_kernels.associate_parts((b, n, c), k, (34, 60), 9, "float32").block == 256
    best = embedded_kernels.associate_best((b, 9, n, 2))
    assert (best.entry, best.arguments) == ("vpp_associate_best_embedded", (9, n))
    assert (best.grid, best.block) == ((8, 1, b), 256)


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
    "VppSelectTokens": ([((2, 960), FLOAT), ((2, 960), BOOL)], {"k": 528, "by_position": 0}, ((2, 528), INT32)),
    "VppGatherTokens": ([((2, 960, 48), HALF), ((2, 528), INT32)], {}, ((2, 528, 48), HALF)),
    "VppScatterTokens": (
        [((2, 960, 48), FLOAT), ((2, 528), INT32), ((2, 528, 48), FLOAT)],
        {},
        ((2, 960, 48), FLOAT),
    ),
    "VppAssociateParts": (
        [((2, 960, 48), HALF), ((2, 528, 48), HALF), ((2, 528), INT32)],
        {"rows": 24, "columns": 40, "parts": 9},
        ((2, 9, 960, 2), INT32),
    ),
    "VppAssociateBest": ([((2, 9, 960, 2), INT32)], {}, ((2, 960), INT32)),
}


@pytest.fixture(scope="module")
def registered() -> FakePlugin:
    plugin = FakePlugin()
    embedded_plugins.register(SimpleNamespace(int32=INT32), plugin)
    return plugin


@pytest.mark.parametrize("plugin", CASES)
def test_tensorrt_learns_each_plugin(plugin: str, registered: FakePlugin) -> None:
    inputs, attributes, (shape, kind) = CASES[plugin]
    describe, implement = registered.described[f"vpp::{plugin}"], registered.implemented[f"vpp::{plugin}"]
    declared = {name: p.annotation for name, p in inspect.signature(describe).parameters.items()}
    assert list(declared.values()) == [Tensor] * len(inputs) + [int] * len(attributes)
    assert list(declared)[len(inputs) :] == list(attributes)
    assert [*inspect.signature(implement).parameters] == [*declared, "outputs", "tactic"]
    for op in OPS.values():
        if op.plugin == plugin:
            assert tuple(declared) == op.inputs + op.attributes

    tensors = [tensor(*spec) for spec in inputs]
    output = describe(*tensors, **dict(reversed(attributes.items())))  # TensorRT gives attributes by name here
    assert (output.shape, output.dtype) == (shape, kind)
    entry, ptx, parameters, extra = implement(*tensors, *attributes.values(), (output,), 0)  # and by position here
    assert ptx == embedded_kernels.ptx(entry)
    assert parameters.block_x in (128, 256, 1024)
    assert all(type(value) is int and value > 0 for value in extra)
    taken = re.search(rf"void {entry}\(([^)]*)\)", TABLE)[1]
    assert len(re.findall(r"int32_t \w", taken)) == len(extra)


def test_every_plugin_that_a_graph_can_have_is_embedded(registered: FakePlugin) -> None:
    signatures = {name: tuple(shape for shape, _ in inputs) for name, (inputs, _, _) in CASES.items()}
    used = set()
    for op in OPS.values():
        if lowering := op.lowerings.get("embedded"):
            body = lowering(NodeSignature({"rows": 24, "columns": 40}, signatures["VppAssociateParts"]))
            used |= set(re.findall(r"(vpp)\.(\w+)", body.text))
        elif op.plugin:
            used.add(("vpp", op.plugin))
    assert set(registered.described) == set(registered.implemented) == {"::".join(name) for name in used}
