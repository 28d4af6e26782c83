import importlib.util
import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.bundle.factory import make_bundle, state_dict
from vpp_deploy.bundle.manifest import FRAME_BY_FRAME
from vpp_deploy.engines.tensorrt.build import build_tensorrt_engine
from vpp_deploy.engines.tensorrt.build_contract import BuildReport
from vpp_deploy.engines.tensorrt.log import explain, last_words, names_missing_gpu
from vpp_deploy.engines.tensorrt.options import TensorRtBuildOptions
from vpp_deploy.errors import BuildError, DependencyError, DeviceError, OutputError, UsageError, VppDeployError

needs_rtx = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("tensorrt_rtx", "polygraphy")),
    reason="tensorrt-rtx is not installed: pip install 'vpp-deploy[rtx]'",
)


def value(name: str, *shape: int | str, dtype: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, shape)


def save(
    path: Path,
    node: onnx.NodeProto,
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    *initializers: onnx.TensorProto,
    opset: int = 20,
) -> Path:
    """A graph of one node."""
    graph = helper.make_graph([node], "graph", inputs, outputs, initializers)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("vpp", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    return path


@pytest.fixture
def linear(tmp_path: Path) -> Path:
    weight = numpy_helper.from_array(np.ones((8, 4), np.float32), "w")
    node = helper.make_node("MatMul", ["x", "w"], ["y"], name="linear")
    return save(tmp_path / "linear.onnx", node, [value("x", 1, 8)], [value("y", 1, 4)], weight)


def build(
    onnx_path: Path, capabilities: tuple[str, ...] = ("8.9",), log: Path | None = None, **options: object
) -> BuildReport:
    engine_path = onnx_path.parent / "out.engine"
    return build_tensorrt_engine(
        onnx_path,
        engine_path,
        backend="tensorrt-rtx",
        options=TensorRtBuildOptions(compute_capabilities=capabilities, **options),
        log=log,
    )


def failure(kind: type[VppDeployError], onnx_path: Path, capabilities: tuple[str, ...] = ("8.9",)) -> str:
    """The message of a failed build, which must be one line and must not touch an older engine."""
    engine = onnx_path.parent / "out.engine"
    engine.write_bytes(b"older engine")
    before = sorted(os.listdir(engine.parent))
    with pytest.raises(kind) as caught:
        build(onnx_path, capabilities)
    assert engine.read_bytes() == b"older engine"
    assert sorted(os.listdir(engine.parent)) == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


def engine_header(path: Path) -> tuple[bytes, int, tuple[int, ...], int]:
    """Magic, length, version and target mask, as observed in TensorRT-RTX 1.7 engines (undocumented)."""
    content = path.read_bytes()[:64]
    return (
        content[:4],
        struct.unpack_from("<Q", content, 16)[0],
        struct.unpack_from("4B", content, 24),
        struct.unpack_from("<I", content, 32)[0],
    )


@needs_rtx
def test_an_engine_is_built_without_a_gpu(linear: Path, tmp_path: Path) -> None:
    report = build(linear)

    magic, length, version, targets = engine_header(tmp_path / "out.engine")
    assert magic == b"vtrt"
    assert length == report.engine_bytes == (tmp_path / "out.engine").stat().st_size
    assert ".".join(map(str, version)) == report.version
    assert targets == 8
    assert (report.backend, report.compute_capabilities) == ("tensorrt-rtx", ("8.9",))
    assert report.layers > 0
    assert report.plugin_layers == 0
    assert report.seconds > 0
    assert sorted(os.listdir(tmp_path)) == ["linear.onnx", "out.engine"]


@needs_rtx
def test_several_targets_and_the_default(linear: Path, tmp_path: Path) -> None:
    assert build(linear, ("8.9", "12.0", "8.9")).compute_capabilities == ("8.9", "12.0")
    assert engine_header(tmp_path / "out.engine")[3] == 8 | 16
    build(linear, ())
    assert engine_header(tmp_path / "out.engine")[3] & (2 | 4 | 8 | 16) == 2 | 4 | 8 | 16


@needs_rtx
def test_both_graphs_of_a_bundle_build_from_the_shared_weights(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "tiny.bundle", seed=5)
    for role in FRAME_BY_FRAME:
        build_tensorrt_engine(
            bundle.graph_path(role),
            tmp_path / role,
            backend="tensorrt-rtx",
            options=TensorRtBuildOptions(compute_capabilities=("8.9",)),
        )
        engine = (tmp_path / role).read_bytes()
        for name in ("embedding.weight", "head.weight"):
            assert state_dict(seed=5)[name].ravel()[:4].tobytes() in engine
            assert state_dict(seed=6)[name].ravel()[:4].tobytes() not in engine


@needs_rtx
def test_float32_means_float32_unless_tf32_is_asked_for(linear: Path, tmp_path: Path) -> None:
    build(linear, log=tmp_path / "log")
    assert "TF32" not in (tmp_path / "log").read_text()
    build(linear, tf32=True, log=tmp_path / "log")
    assert "TF32" in (tmp_path / "log").read_text()


@needs_rtx
def test_an_engine_allocates_nothing_while_it_runs(linear: Path, tmp_path: Path) -> None:
    """Else TensorRT-RTX cannot be captured in CUDA graphs."""
    build(linear, log=tmp_path / "log")
    assert "REQUIRE_USER_ALLOCATION" in (tmp_path / "log").read_text()


@needs_rtx
def test_workspace_and_timing_cache_reach_the_builder(linear: Path, tmp_path: Path) -> None:
    build(linear, workspace_bytes=256 << 20, timing_cache=tmp_path / "timings", log=tmp_path / "log")
    assert "WORKSPACE: 256.00 MiB" in (tmp_path / "log").read_text()
    assert (tmp_path / "timings").stat().st_size > 0
    build(linear, timing_cache=tmp_path / "timings")


@needs_rtx
def test_paths_may_be_relative(linear: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    build_tensorrt_engine(Path("linear.onnx"), Path("relative.engine"), backend="tensorrt-rtx", log=Path("log"))
    assert (tmp_path / "relative.engine").read_bytes()[:4] == b"vtrt"
    assert (tmp_path / "log").stat().st_size > 0


@needs_rtx
@pytest.mark.parametrize("capability", ["9.0", "1.20", "89", "SM89", "8.9.0", ""])
def test_an_unknown_compute_capability_lists_the_known_ones(linear: Path, capability: str) -> None:
    message = failure(UsageError, linear, (capability,))
    assert f"no compute capability {capability!r}" in message
    assert "8.9, 12.0" in message


@needs_rtx
def test_an_operator_of_a_domain_without_plugin_is_named(tmp_path: Path) -> None:
    node = helper.make_node("SelectTokens", ["x"], ["y"], domain="vpp", name="select")
    path = save(tmp_path / "m.onnx", node, [value("x", 1, 8)], [value("y", 1, 8)])
    assert "operator SelectTokens (node 'select') is neither standard ONNX nor a loaded plugin" in failure(
        BuildError, path
    )


@needs_rtx
@pytest.mark.parametrize("operator", ["NonZero", "Unique"])
def test_an_operator_that_the_parser_does_not_take_is_named(tmp_path: Path, operator: str) -> None:
    dtype = TensorProto.INT64 if operator == "NonZero" else TensorProto.FLOAT
    shape = (1, "n") if operator == "NonZero" else ("n",)
    node = helper.make_node(operator, ["x"], ["y"], name="odd")
    path = save(tmp_path / "m.onnx", node, [value("x", 8)], [value("y", *shape, dtype=dtype)])
    assert f"operator {operator} (node 'odd') is not supported" in failure(BuildError, path)


@needs_rtx
def test_an_attribute_that_the_parser_does_not_take_is_explained(tmp_path: Path) -> None:
    node = helper.make_node("ScatterElements", ["x", "i", "u"], ["y"], reduction="add")
    inputs = [value("x", 8), value("i", 8, dtype=TensorProto.INT64), value("u", 8)]
    message = failure(BuildError, save(tmp_path / "m.onnx", node, inputs, [value("y", 8)]))
    assert "operator ScatterElements is not supported as it is used here (Unsupported reduction type)" in message


@needs_rtx
def test_topk_beyond_its_limit_says_which_and_what_to_do(tmp_path: Path) -> None:
    def selecting(k: int) -> Path:
        node = helper.make_node("TopK", ["x", "k"], ["v", "i"], name="select")
        outputs = [value("v", 1, k), value("i", 1, k, dtype=TensorProto.INT64)]
        k_tensor = numpy_helper.from_array(np.array([k]), "k")
        return save(tmp_path / "m.onnx", node, [value("x", 1, 8192)], outputs, k_tensor)

    assert build(selecting(3840)).engine_bytes > 0
    message = failure(BuildError, selecting(3841))
    assert "TopK node 'select' selects more than 3840 elements" in message
    assert "lower the keep ratio" in message


@needs_rtx
def test_fused_attention_in_float32_points_to_opset_20(tmp_path: Path) -> None:
    node = helper.make_node("Attention", ["q", "k", "v"], ["y"])
    inputs = [value(name, 1, 6, 64, 64) for name in "qkv"]
    path = save(tmp_path / "m.onnx", node, inputs, [value("y", 1, 6, 64, 64)], opset=23)
    assert "export with opset 20" in failure(BuildError, path)


@needs_rtx
def test_float32_products_on_turing_are_explained(linear: Path) -> None:
    assert "compute capability 7.5 has no kernel for FP32 GEMM" in failure(BuildError, linear, ("7.5",))


@needs_rtx
def test_an_unknown_failure_gives_the_builders_own_words(tmp_path: Path) -> None:
    weight = numpy_helper.from_array(np.ones((7, 8), np.float32), "w")
    node = helper.make_node("MatMul", ["x", "w"], ["y"], name="mismatch")
    message = failure(BuildError, save(tmp_path / "m.onnx", node, [value("x", 1, 8)], [value("y", 1, 8)], weight))
    assert "last dimension of input0 = 8 and second to last dimension of input1 = 7" in message
    assert "cudaError" not in message


@needs_rtx
def test_a_dynamic_shape_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "m.onnx", helper.make_node("Erf", ["x"], ["y"]), [value("x", "b", 8)], [value("y", "b", 8)])
    assert "input 'x' has the dynamic shape (-1, 8)" in failure(BuildError, path)


@needs_rtx
def test_missing_weights_are_named(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "tiny.bundle")
    bundle.weights_path.unlink()
    message = failure(BuildError, bundle.graph_path("step"))
    assert f"the weights file '{bundle.weights_path}' is not next to the graph" in message


@needs_rtx
def test_a_file_that_is_not_onnx(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"hello there " * 20)
    assert "not an ONNX graph" in failure(BuildError, tmp_path / "m.onnx")


def test_a_missing_graph(tmp_path: Path) -> None:
    assert "there is no such file" in failure(BuildError, tmp_path / "m.onnx")


def test_a_place_that_cannot_be_written(linear: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"cannot write the engine .*nowhere"):
        build_tensorrt_engine(linear, tmp_path / "nowhere" / "e", backend="tensorrt-rtx")


@pytest.mark.parametrize(
    ("backend", "options", "message"),
    [
        ("tensorrt", {"compute_capabilities": ("8.9",)}, r"drop the compute capabilities 8\.9 or use tensorrt-rtx"),
        ("tensorrt-rtx", {"hardware_compatible": True}, "drop hardware compatible"),
        ("tensorrt-rtx", {"version_compatible": True}, "no version compatible engines: drop it, or use tensorrt"),
    ],
)
def test_options_that_a_builder_does_not_have(
    backend: str, options: dict[str, object], message: str, linear: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        build_tensorrt_engine(linear, tmp_path / "e", backend=backend, options=TensorRtBuildOptions(**options))


def test_an_unknown_builder(linear: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="use tensorrt or tensorrt-rtx"):
        build_tensorrt_engine(linear, tmp_path / "e", backend="abacus")


@pytest.fixture
def worker_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose modules the worker finds before the installed ones."""
    folder = tmp_path / "modules"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return folder


@pytest.mark.parametrize("package", ["tensorrt_rtx", "polygraphy"])
def test_a_package_that_is_not_installed(worker_modules: Path, linear: Path, package: str) -> None:
    if package == "polygraphy":
        (worker_modules / "tensorrt_rtx.py").write_text("")
    (worker_modules / "sitecustomize.py").write_text(f"import sys; sys.modules[{package!r}] = None")
    assert failure(DependencyError, linear) == f"{package} is not installed: pip install 'vpp-deploy[rtx]'"


@pytest.mark.skipif(importlib.util.find_spec("tensorrt") is not None, reason="tensorrt is installed")
def test_tensorrt_that_is_not_installed(linear: Path, tmp_path: Path) -> None:
    with pytest.raises(DependencyError, match=r"tensorrt is not installed: pip install 'vpp-deploy\[tensorrt\]'"):
        build_tensorrt_engine(linear, tmp_path / "e", backend="tensorrt")


def test_a_package_that_does_not_load(worker_modules: Path, linear: Path) -> None:
    (worker_modules / "tensorrt_rtx.py").write_text(
        "raise ImportError('libcudart.so:\\ncannot open shared object file')"
    )
    message = failure(DependencyError, linear)
    assert "tensorrt_rtx is installed but does not load (libcudart.so: cannot open" in message


@pytest.mark.parametrize(
    ("signal_name", "expected"),
    [("SIGABRT", "crashed (Aborted; a last message): try another"), ("SIGKILL", "most likely memory ran out")],
)
def test_a_builder_that_dies_does_not_take_the_caller_along(
    worker_modules: Path, linear: Path, signal_name: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(linear.parent)
    (worker_modules / "tensorrt_rtx.py").write_text(
        "import os, signal\n"
        "print('a last message', flush=True)\n"
        "open('half-written', 'w').write('core')\n"
        f"os.kill(os.getpid(), signal.{signal_name})\n"
    )
    assert expected in failure(BuildError, linear)


def test_a_worker_that_fails_unexpectedly_shows_its_last_line(worker_modules: Path, linear: Path) -> None:
    (worker_modules / "tensorrt_rtx.py").write_text("raise ZeroDivisionError('surprise')")
    assert "ZeroDivisionError: surprise" in failure(BuildError, linear)


def test_tensorrt_without_a_gpu(worker_modules: Path, linear: Path, tmp_path: Path) -> None:
    (worker_modules / "tensorrt.py").write_text("raise SystemExit('[E] CUDA initialization failure with error: 35')")
    with pytest.raises(DeviceError, match="it builds for the GPU that it runs on and found none"):
        build_tensorrt_engine(linear, tmp_path / "e", backend="tensorrt")


@needs_rtx
def test_the_tensorrt_path_with_tensorrt_rtx_in_its_place(worker_modules: Path, linear: Path, tmp_path: Path) -> None:
    (worker_modules / "tensorrt.py").write_text("from tensorrt_rtx import *\n__version__ = '10.16.0'\n")
    steps: list[tuple[str, float]] = []
    report = build_tensorrt_engine(
        linear,
        tmp_path / "e",
        backend="tensorrt",
        options=TensorRtBuildOptions(workspace_bytes=256 << 20),
        log=tmp_path / "log",
        progress=lambda step, share: steps.append((step, share)),
    )
    assert report.scratch_bytes is None  # no GPU to ask
    assert steps
    assert all(step and 0 <= share <= 1 for step, share in steps)
    assert (report.backend, report.version) == ("tensorrt", "10.16.0")
    assert (tmp_path / "e").stat().st_size == report.engine_bytes
    log = (tmp_path / "log").read_text()
    assert "Flags                  | [STRONGLY_TYPED]" in log
    assert "WORKSPACE: 256.00 MiB" in log


def test_importing_the_builder_imports_no_vendor_package() -> None:
    script = "import json, sys, vpp_deploy.engines.tensorrt.build; print(json.dumps(list(sys.modules)))"
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True).stdout
    assert not {"polygraphy", "tensorrt", "tensorrt_rtx", "torch"} & set(json.loads(output))


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ("[E] Error Code 10: Internal Error (Could not find any implementation for node block.3/MatMul.)", "no kernel"),
        ("[E] Error Code 2: OutOfMemory (Requested size was 8 bytes.)", "ran out of memory"),
        ("Traceback (most recent call last):\n  File x\nMemoryError", "ran out of memory"),
        ("[W] Skipping tactic 3 due to insufficient memory\n[E] something else", "something else"),
        ("[I] Configuring\n    Profile 0\n", "it gave no reason"),
        ("", "it gave no reason"),
    ],
)
def test_explanations_of_failures_that_cannot_be_provoked_here(log: str, expected: str) -> None:
    assert expected in explain(log)


def test_last_words_are_the_last_three_distinct_errors_in_one_line() -> None:
    log = "\n".join(
        ["[E] a", "[I] note", "    more", "[E] Model.cpp:12: b", "[E] c\tc", "[E] c\tc", "[E] " + "d" * 999]
    )
    assert last_words(log) == f"b; c c; {'d' * 299}…"


def test_a_missing_gpu_is_recognised() -> None:
    assert names_missing_gpu("[E] CUDA initialization failure with error: 35. Please check your CUDA installation")
    assert not names_missing_gpu("[E] K exceeds the maximum value allowed")
