"""Denormals are zero where engines work, and nowhere else."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from vpp_deploy.engines.denormals import controlled, denormals_as_zero
from vpp_deploy.engines.onnxruntime.sessions import Session, session_options
from vpp_deploy.errors import IncompatibleEngineError

pytestmark = pytest.mark.skipif(not controlled(), reason="denormals are left as they are here")
SIZE = 1 << 18
"""Elements: enough to be shared out among threads."""


def halved() -> float:
    return float(np.float32(2.0**-126) * np.float32(0.5))


def halving() -> bytes:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [SIZE]) for name in "xy")
    half = onnx.numpy_helper.from_array(np.float32(0.5), "half")
    graph = helper.make_graph([helper.make_node("Mul", ["x", "half"], ["y"])], "halving", [x], [y], [half])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10).SerializeToString()


def run(threads: int) -> np.ndarray:
    session = Session(halving(), session_options(threads), error=IncompatibleEngineError, label="a graph that halves")
    (found,) = session.run(["y"], {"x": np.full(SIZE, 2.0**-126, np.float32)})
    return found


def test_a_block_takes_them_for_zero_and_leaves_things_as_they_were() -> None:
    assert halved() == 2.0**-127
    with denormals_as_zero():
        assert halved() == 0
        with denormals_as_zero():
            assert halved() == 0
        assert halved() == 0  # the inner block is over, the outer one is not
        with ThreadPoolExecutor(1) as pool:  # new threads begin as the one that makes them
            assert pool.submit(halved).result() == 0
    assert halved() == 2.0**-127
    with pytest.raises(ZeroDivisionError), denormals_as_zero():
        _ = 1 / 0
    assert halved() == 2.0**-127


def test_rounding_and_what_numpy_watches_for_stay() -> None:
    with denormals_as_zero(), np.errstate(over="raise"), pytest.raises(FloatingPointError):
        _ = np.float32(3e38) * np.float32(3e38)
    with np.errstate(under="raise"):
        assert np.float32(1) / np.float32(3) == np.float32(0.33333334)


@pytest.mark.parametrize("threads", [1, 2])
def test_openvino_flushes_and_leaves_its_caller_alone(threads: int) -> None:
    openvino = pytest.importorskip("openvino", reason="OpenVINO is not installed")
    from vpp_deploy.engines.openvino.models import Request, compiled, settings
    from vpp_deploy.engines.openvino.options import OpenVinoLoadOptions

    core = openvino.Core()
    model = compiled(core, core.read_model(halving()), "CPU", settings(OpenVinoLoadOptions(threads=threads)))
    request = Request(model.create_infer_request(), "a graph that halves", "")
    (found,) = request.run(["y"], {"x": np.full(SIZE, 2.0**-126, np.float32)})
    assert not found.any()
    assert halved() == 2.0**-127


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_sessions_flush_in_every_thread_whoever_was_first(threads: int) -> None:
    onnxruntime.InferenceSession(halving(), providers=["CPUExecutionProvider"])  # with ONNX Runtime's defaults
    assert not run(threads).any()
    with ThreadPoolExecutor(1) as pool:
        assert not pool.submit(run, threads).result().any()
    assert halved() == 2.0**-127


def test_the_first_session_of_a_process_leaves_its_thread_alone() -> None:
    """ONNX Runtime sets the calling thread's mode when the first session is made, and never again."""
    code = (
        "from tests.engines.test_denormals import halved, run\nassert not run(2).any()\nassert halved() == 2.0**-127\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
