import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

from tests.bundle.factory import BREADTH, HEIGHT, models, state_dict
from vpp_deploy.bundle import externalize
from vpp_deploy.errors import ExportError, OutputError


def chain(*weights: np.ndarray, name: str = "weight", as_constants: bool = False) -> onnx.ModelProto:
    """`y = x + weights[0] + weights[1] + …`, weights as initializers or as Constant nodes."""
    names = [f"{name}_{index}" for index in range(len(weights))]
    tensors = [numpy_helper.from_array(weight, key) for weight, key in zip(weights, names, strict=True)]
    nodes = [helper.make_node("Constant", [], [tensor.name], value=tensor) for tensor in tensors if as_constants]
    values = ["x", *(f"sum_{index}" for index in range(len(weights) - 1)), "y"]
    nodes += [
        helper.make_node("Add", [values[index], names[index]], [values[index + 1]]) for index in range(len(weights))
    ]
    dtype = helper.np_dtype_to_tensor_dtype(weights[0].dtype)
    shape = np.broadcast_shapes(*(weight.shape for weight in weights))
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("x", dtype, shape)],
        [helper.make_tensor_value_info("y", dtype, shape)],
        [] if as_constants else tensors,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def run(model: onnx.ModelProto | Path, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    source = model if isinstance(model, Path) else model.SerializeToString()
    session = onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"])
    return session.run(None, feeds)


def pointer(initializer: onnx.TensorProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in initializer.external_data}


def initializer(model: onnx.ModelProto, name: str) -> onnx.TensorProto:
    return next(tensor for tensor in model.graph.initializer if tensor.name == name)


def random(*shape: int, seed: int = 0, dtype: type = np.float32) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def test_onnx_runtime_computes_the_same_from_the_shared_file(tmp_path: Path) -> None:
    frame = np.random.default_rng(1).integers(0, 256, (HEIGHT, BREADTH, 3), np.uint8)
    inline, external = models(), models()
    externalize(external, tmp_path / "weights.safetensors", state_dict=state_dict())
    for phase, model in external.items():
        onnx.save(model, tmp_path / f"{phase}.onnx")
        onnx.checker.check_model(str(tmp_path / f"{phase}.onnx"), full_check=True)

    expected = run(inline["init"], {"frame": frame})
    actual = run(tmp_path / "init.onnx", {"frame": frame})
    _, kept, positions, reference = expected
    assert len(set(kept.tolist())) == len(kept)
    feeds = {
        "frame": 255 - frame,
        "track_queries": random(2, reference.shape[1]),
        "positions_in": positions,
        "reference_in": reference,
    }
    expected += run(inline["step"], feeds)
    actual += run(tmp_path / "step.onnx", feeds)

    for one, other in zip(expected, actual, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_file_is_the_state_dict(tmp_path: Path) -> None:
    weights = state_dict(seed=3)
    externalize(models(seed=3), tmp_path / "w.safetensors", state_dict=weights)

    loaded = load_file(tmp_path / "w.safetensors")

    assert loaded.keys() == weights.keys()
    for name, array in weights.items():
        assert (loaded[name].dtype, loaded[name].shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(loaded[name], array)


def test_equal_contents_of_two_models_are_stored_once(tmp_path: Path) -> None:
    shared, own = random(16, 32), random(16, 32, seed=1)
    first, second = chain(shared, shared, own), chain(shared, name="other")

    externalize({"init": first, "step": second}, tmp_path / "w.safetensors")

    assert load_file(tmp_path / "w.safetensors").keys() == {"graph/init/weight_0", "graph/init/weight_2"}
    places = [pointer(initializer(first, name)) for name in ("weight_0", "weight_1", "weight_2")]
    assert places[0] == places[1] == pointer(initializer(second, "other_0"))
    assert places[2] != places[0]


def test_a_reshaped_weight_shares_the_bytes_of_the_state_dict(tmp_path: Path) -> None:
    weight = random(16, 32)
    model = chain(weight.reshape(1, 16, 32))

    externalize({"step": model}, tmp_path / "w.safetensors", state_dict={"proj.weight": weight})
    onnx.save(model, tmp_path / "m.onnx")

    assert load_file(tmp_path / "w.safetensors").keys() == {"proj.weight"}
    (y,) = run(tmp_path / "m.onnx", {"x": np.zeros((1, 16, 32), np.float32)})
    np.testing.assert_array_equal(y[0], weight)


def test_equal_bytes_of_another_type_are_not_shared(tmp_path: Path) -> None:
    model = chain(np.zeros((16, 32), np.float32))
    externalize({"step": model}, tmp_path / "w.safetensors", state_dict={"zeros": np.zeros((16, 32), np.int32)})
    assert load_file(tmp_path / "w.safetensors").keys() == {"zeros", "graph/step/weight_0"}


def test_equal_tensors_of_the_state_dict_keep_both_names(tmp_path: Path) -> None:
    tied = random(16, 32)
    externalize({"step": chain(tied)}, tmp_path / "w.safetensors", state_dict={"a": tied, "b": tied.copy()})
    assert load_file(tmp_path / "w.safetensors").keys() == {"a", "b"}


def test_small_initializers_stay_inline(tmp_path: Path) -> None:
    small, large = random(255), random(256)
    model = chain(small[:1], large)
    externalize({"m": model}, tmp_path / "w.safetensors")
    assert initializer(model, "weight_0").data_location == TensorProto.DEFAULT
    assert initializer(model, "weight_1").data_location == TensorProto.EXTERNAL
    assert not initializer(model, "weight_1").raw_data


def test_large_constant_nodes_become_initializers(tmp_path: Path) -> None:
    large, small = random(16, 32), random(1, 32, seed=1)
    model = chain(large, small, as_constants=True)
    x = random(16, 32, seed=2)
    (expected,) = run(model, {"x": x})

    externalize({"m": model}, tmp_path / "w.safetensors")
    onnx.save(model, tmp_path / "m.onnx")

    assert [node.output[0] for node in model.graph.node if node.op_type == "Constant"] == ["weight_1"]
    assert pointer(initializer(model, "weight_0"))["location"] == "w.safetensors"
    np.testing.assert_array_equal(run(tmp_path / "m.onnx", {"x": x})[0], expected)


def test_initializers_of_subgraphs_move_too(tmp_path: Path) -> None:
    weights = {"then": random(16, 32), "else": random(16, 32, seed=1)}
    branches = {
        f"{name}_branch": helper.make_graph(
            [helper.make_node("Identity", ["weight"], [f"{name}_y"])],
            name,
            [],
            [helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT, (16, 32))],
            [numpy_helper.from_array(weight, "weight")],
        )
        for name, weight in weights.items()
    }
    graph = helper.make_graph(
        [helper.make_node("If", ["which"], ["y"], **branches)],
        "choice",
        [helper.make_tensor_value_info("which", TensorProto.BOOL, ())],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (16, 32))],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)

    externalize({"m": model}, tmp_path / "w.safetensors")
    onnx.save(model, tmp_path / "m.onnx")

    assert load_file(tmp_path / "w.safetensors").keys() == {"graph/m/weight", "graph/m/weight.2"}
    np.testing.assert_array_equal(run(tmp_path / "m.onnx", {"which": np.array(True)})[0], weights["then"])
    np.testing.assert_array_equal(run(tmp_path / "m.onnx", {"which": np.array(False)})[0], weights["else"])


def test_typed_data_fields_are_read_like_raw_data(tmp_path: Path) -> None:
    weight = random(16, 32)
    model = chain(weight)
    model.graph.initializer[0].CopyFrom(helper.make_tensor("weight_0", TensorProto.FLOAT, (16, 32), weight.ravel()))
    assert not model.graph.initializer[0].HasField("raw_data")

    externalize({"m": model}, tmp_path / "w.safetensors", state_dict={"weight": weight})

    assert load_file(tmp_path / "w.safetensors").keys() == {"weight"}
    assert not model.graph.initializer[0].float_data


def test_bfloat16_weights_keep_their_bits(tmp_path: Path) -> None:
    weight = random(16, 64).astype(helper.tensor_dtype_to_np_dtype(TensorProto.BFLOAT16))
    model = chain(weight)
    externalize({"m": model}, tmp_path / "w.safetensors")
    onnx.save(model, tmp_path / "m.onnx")
    restored = numpy_helper.to_array(onnx.load(tmp_path / "m.onnx").graph.initializer[0])
    np.testing.assert_array_equal(restored.view(np.uint16), weight.view(np.uint16))
    header = (tmp_path / "w.safetensors").read_bytes()[8:4096].decode()
    assert json.loads(header)["graph/m/weight_0"]["dtype"] == "BF16"


def test_a_non_contiguous_state_dict_is_stored_by_value(tmp_path: Path) -> None:
    weight = random(32, 16).T
    externalize({}, tmp_path / "w.safetensors", state_dict={"transposed": weight, "strided": weight[::2, ::3]})
    loaded = load_file(tmp_path / "w.safetensors")
    np.testing.assert_array_equal(loaded["transposed"], weight)
    np.testing.assert_array_equal(loaded["strided"], weight[::2, ::3])


ARRAYS = hnp.arrays(
    st.sampled_from([np.float32, np.float64, np.float16, np.int64, np.int32, np.int8, np.uint8, np.bool_]),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5),
)


@settings(deadline=None, max_examples=50)
@given(weights=st.dictionaries(st.text(min_size=1, max_size=8).filter(lambda key: key != "__metadata__"), ARRAYS))
def test_any_state_dict_survives_and_stays_aligned(
    weights: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    externalize({}, path, state_dict=weights)

    loaded = load_file(path)

    assert loaded.keys() == weights.keys()
    for name, array in weights.items():
        assert (loaded[name].dtype, loaded[name].shape) == (array.dtype, array.shape)
        assert loaded[name].tobytes() == array.tobytes()
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    assert (8 + length) % 4096 == 0
    header = json.loads(content[8 : 8 + length])
    for name, array in weights.items():
        assert header[name]["data_offsets"][0] % array.itemsize == 0


def test_a_file_that_cannot_be_written_leaves_the_models_as_they_were(tmp_path: Path) -> None:
    model = chain(random(16, 32))
    before = model.SerializeToString()
    with pytest.raises(OutputError, match=r"cannot write the weights file .*nowhere"):
        externalize({"m": model}, tmp_path / "nowhere" / "w.safetensors")
    assert model.SerializeToString() == before


def test_external_data_is_not_externalised_twice(tmp_path: Path) -> None:
    model = chain(random(16, 32))
    externalize({"m": model}, tmp_path / "first.safetensors")
    with pytest.raises(ExportError, match="'m/weight_0' is external data already"):
        externalize({"m": model}, tmp_path / "second.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["first.safetensors"]


def test_a_truncated_initializer_is_named(tmp_path: Path) -> None:
    model = chain(random(16, 32))
    model.graph.initializer[0].raw_data = b"\0" * 100
    with pytest.raises(ExportError, match=r"'m/weight_0' holds 100 bytes, its shape \(16, 32\) needs 2048"):
        externalize({"m": model}, tmp_path / "w.safetensors")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dtype", ["complex64", ">f4", "U4"])
def test_a_type_that_safetensors_lacks_is_named(tmp_path: Path, dtype: str) -> None:
    with pytest.raises(ExportError, match="state dict: 'odd' has dtype"):
        externalize({}, tmp_path / "w.safetensors", state_dict={"odd": np.zeros(4, dtype)})
