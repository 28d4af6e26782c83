"""A directed generator of bundles that lie: one thing in each is wrong, and every hash is right.

Unlike random mutation it knows what a manifest, a graph and a record mean, so that each case gets past the checks of
form and reaches the code behind them.
"""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper
from PIL import Image

from tests.fuzz import bundles
from vpp_deploy.bundle import Bundle
from vpp_deploy.engines import build_engine

DATA = Path(__file__).parents[1] / "bundle" / "data"
KINDS = {"segmentation": "v3-vpp", "classification": "v3-papr", "tensors": "v3-tensors"}
"""A tiny bundle of each task, that a session of its task runs."""

Content = dict[str, Any]
Place = tuple[str | int, ...]


class Case(NamedTuple):
    """A hostile bundle: what is wrong with it, and a function that makes it so in a copy."""

    name: str
    make: Callable[[Path], None]


def originals(folder: Path) -> dict[str, Path]:
    """A bundle of each task with an ONNX Runtime engine, to copy."""
    made = {}
    for kind, name in KINDS.items():
        made[kind] = folder / f"{kind}.bundle"
        shutil.copytree(DATA / name, made[kind], ignore=shutil.ignore_patterns("engines"))
        build_engine(Bundle.open(made[kind]))
    return made


def sources(tensors: Path, folder: Path) -> dict[str, Path]:
    """What each task runs on: two pictures, or two frames of the inputs of a bundle for plain tensors."""
    pictures = folder / "pictures"
    pictures.mkdir()
    generator = np.random.default_rng(0)
    for number in range(2):
        Image.fromarray(generator.integers(0, 256, (40, 60, 3), np.uint8)).save(pictures / f"{number}.png")
    inputs = bundles.manifest_of(tensors)["graphs"]["init"]["inputs"]
    arrays = {spec["name"]: np.zeros((2, *spec["shape"]), spec["dtype"]) for spec in inputs}
    np.savez(folder / "inputs.npz", **arrays)
    return {"segmentation": pictures, "classification": pictures, "tensors": folder / "inputs.npz"}


def manifest_cases(bundle: Path) -> Iterator[Case]:
    """Every value of the manifest, replaced by each of several others, left out, or joined by a stranger."""
    content = bundles.manifest_of(bundle)
    for place in _places(content):
        for label, value in _others(_at(content, place)):
            yield Case(f"manifest {_shown(place)} = {label}", _json_change(bundles.MANIFEST, place, value))


def record_cases(bundle: Path) -> Iterator[Case]:
    """The same for the engine's record."""
    content = bundles.record_of(bundle)
    for place in _places(content):
        for label, value in _others(_at(content, place)):
            name = str(bundles.ENGINE / bundles.RECORD)
            yield Case(f"record {_shown(place)} = {label}", _json_change(name, place, value))


def graph_cases(bundle: Path) -> Iterator[Case]:
    """Graphs that are not what the manifest says, that no export writes, or that ask for too much."""
    content = bundles.manifest_of(bundle)
    for role, graph in content["graphs"].items():
        for label, change in _GRAPH_CHANGES.items():
            yield Case(f"{role} graph: {label}", _graph_change(graph["file"], change, in_engine=False))
            yield Case(f"{role} engine: {label}", _graph_change(f"{role}.onnx", change, in_engine=True))


def graph_changes() -> dict[str, Callable[[onnx.ModelProto], Any]]:
    """What can be wrong with a graph: each function changes a model, or gives the bytes of its file."""
    return dict(_GRAPH_CHANGES)


def _shown(place: Place) -> str:
    return ".".join(map(str, place))


def _places(value: Any, path: Place = ()) -> list[Place]:
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [inner for name, item in items for inner in [(*path, name), *_places(item, (*path, name))]]


def _at(value: Any, place: Place) -> Any:
    for name in place:
        value = value[name]
    return value


_ABSENT = object()
_HUGE = "1" + 400 * "0"
_FILES = ("init.onnx", "weights.safetensors", "../x", "/etc/passwd")
_TEXTS = ("", "x", "\x1b[31mred\n", "n" * 5000, "\0", *_FILES)


def _others(value: Any) -> Iterator[tuple[str, Any]]:
    """What may stand there instead, with a label."""
    yield "nothing", _ABSENT
    yield "null", None
    if isinstance(value, bool):
        yield "the opposite", not value
    elif isinstance(value, int):
        for other in (0, -1, 1, value + 1, 2 * value, 1_000_000_007, 2**31 - 1, 2**31, 2**61 - 1, 2**64, int(_HUGE)):
            yield f"{other:.3g}" if other < 10**300 else "a huge number", other
        yield "a fraction", value + 0.5
        yield "text", str(value)
    elif isinstance(value, float):
        for number in (0.0, -1.0, 1e-5, 5e-324, 1.7e308, 1, -(2**70)):
            yield f"{number:g}", number
    elif isinstance(value, str):
        for text in _TEXTS:
            yield repr(text[:12]), text
        for dtype in ("float32", "int32", "uint8", "bool", "float16"):
            yield dtype, dtype
        yield "a number", 3
    elif isinstance(value, list):
        yield "an empty list", []
        yield "its reverse", value[::-1]
        yield "itself twice", value + value
        yield "its begin", value[:-1]
        yield "a text", "text"
    elif isinstance(value, dict):
        yield "an empty object", {}
        yield "a list", [value]
        yield "more", value | {"extra": 1}


def _json_change(name: str, place: Place, value: Any) -> Callable[[Path], None]:
    def make(bundle: Path) -> None:
        content = json.loads((bundle / name).read_bytes())
        parent = _at(content, place[:-1])
        if value is _ABSENT:
            del parent[place[-1]]
        else:
            parent[place[-1]] = copy.deepcopy(value)
        (bundle / name).write_text(json.dumps(content))

    return make


def _graph_change(
    name: str, change: Callable[[onnx.ModelProto], onnx.ModelProto | bytes | None], *, in_engine: bool
) -> Callable[[Path], None]:
    def make(bundle: Path) -> None:
        path = bundle / bundles.ENGINE / name if in_engine else bundle / name
        model = onnx.load(path, load_external_data=False)
        changed = change(model)
        data = changed if isinstance(changed, bytes) else (changed or model).SerializeToString()
        (bundles.replace_engine_file if in_engine else bundles.replace_file)(bundle, name, data)

    return make


def _first_output(model: onnx.ModelProto) -> str:
    return str(model.graph.output[0].name)


def _instead(model: onnx.ModelProto, *nodes: onnx.NodeProto) -> None:
    """Let the last of the nodes compute the first output, cut or padded to nothing: its name alone is right."""
    output = _first_output(model)
    for node in model.graph.node:
        for place, name in enumerate(node.output):
            if name == output:
                node.output[place] = "displaced"
    nodes[-1].output[0] = output
    model.graph.node.extend(nodes)


def _constant(name: str, values: Any) -> onnx.NodeProto:
    tensor = onnx.numpy_helper.from_array(np.asarray(values), name)
    return helper.make_node("Constant", [], [name], value=tensor)


def _nested(model: onnx.ModelProto, deep: int = 24, cyclic: bool = False) -> None:
    """Functions that call the next one twice: 2 to the power of `deep` nodes."""
    domain = "deep"
    for level in range(deep):
        following = f"f{(level + 1) % deep}" if level + 1 < deep or cyclic else ""
        call = (following, domain) if following else ("Identity", "")
        nodes = [
            helper.make_node(call[0], ["x"], ["y"], domain=call[1]),
            helper.make_node(call[0], ["y"], ["z"], domain=call[1]),
        ]
        opsets = [helper.make_opsetid("", 20), helper.make_opsetid(domain, 1)]
        model.functions.append(helper.make_function(domain, f"f{level}", ["x"], ["z"], nodes, opsets))
    model.opset_import.append(helper.make_opsetid(domain, 1))
    _instead(model, helper.make_node("f0", ["displaced"], [""], domain=domain))


def _endless_loop(model: onnx.ModelProto) -> None:
    body = helper.make_graph(
        [helper.make_node("Identity", ["on"], ["still_on"])],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("still_on", TensorProto.BOOL, [])],
    )
    turns, begin = _constant("turns", np.int64(2**62)), _constant("begin", np.bool_(True))
    model.graph.node.extend([turns, begin, helper.make_node("Loop", ["turns", "begin"], [], body=body)])


def _deformable(model: onnx.ModelProto) -> None:
    prime = 2**61 - 1
    shapes = {"v": [1, 4, 1, 1], "o": [1, prime, 1, 1, 1, 2], "w": [1, prime, 1, 1, 1], "r": [prime, 2]}
    for name, lengths in shapes.items():
        model.graph.value_info.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, lengths))
    node = helper.make_node("DeformableAttention", list(shapes), ["d"], domain="vpp", level_shapes=[2, 2])
    if all(entry.domain != "vpp" for entry in model.opset_import):
        model.opset_import.append(helper.make_opsetid("vpp", 1))
    model.graph.node.append(node)


def _expanded(model: onnx.ModelProto) -> None:
    """Four numbers that become a terabyte, of a size that is told when it runs."""
    shape = _constant("wide", np.array([2.0**19, 2.0**19], np.float32))
    cast = helper.make_node("Cast", ["wide"], ["wide_whole"], to=TensorProto.INT64)
    expand = helper.make_node("ConstantOfShape", ["wide_whole"], ["terabyte"])
    total = helper.make_node("ReduceSum", ["terabyte"], ["total"], keepdims=0)
    model.graph.node.extend([shape, cast, expand, total])


def _external(location: str, offset: str, length: str) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        tensor = model.graph.initializer.add(name="stray", data_type=TensorProto.FLOAT, dims=[4])
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", location), ("offset", offset), ("length", length)):
            tensor.external_data.add(key=key, value=value)

    return change


def _nan(model: onnx.ModelProto) -> None:
    """The first output is NaN, of the right type and shape."""
    info = model.graph.output[0].type.tensor_type
    if info.elem_type != TensorProto.FLOAT:
        return
    shape = [axis.dim_value for axis in info.shape.dim]
    _instead(model, _constant("nothing", np.full(shape, np.nan, np.float32)))


def _clear(field: str) -> Callable[[onnx.ModelProto], None]:
    return lambda model: model.graph.ClearField(field)


def _set_lengths(field: str, length: int) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        for info in getattr(model.graph, field):
            info.type.tensor_type.shape.dim[0].dim_value = length

    return change


def _set_type(field: str, kind: int) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        getattr(model.graph, field)[0].type.tensor_type.elem_type = kind

    return change


def _rename(field: str) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        getattr(model.graph, field)[0].name = "renamed"

    return change


def _claims(model: onnx.ModelProto) -> None:
    """A constant of a terabyte, without values."""
    model.graph.initializer.add(name="claim", data_type=TensorProto.FLOAT, dims=[2**20, 2**18])


def _positions(model: onnx.ModelProto) -> None:
    """Whole numbers that are no position."""
    for info in model.graph.output:
        kind = info.type.tensor_type
        if kind.elem_type == TensorProto.INT32:
            for node in model.graph.node:
                for place, name in enumerate(node.output):
                    if name == info.name:
                        node.output[place] = f"right_{name}"
            shape = [axis.dim_value for axis in kind.shape.dim]
            value = onnx.numpy_helper.from_array(np.full(shape, 2**30, np.int32), info.name)
            model.graph.node.append(helper.make_node("Constant", [], [info.name], value=value))


_GRAPH_CHANGES: dict[str, Callable[[onnx.ModelProto], Any]] = {
    "nothing": lambda model: b"",
    "text": lambda model: b"version https://git-lfs.github.com/spec/v1\n",
    "half": lambda model: model.SerializeToString()[: model.ByteSize() // 2],
    "a flipped byte": lambda model: (data := model.SerializeToString())[:40] + bytes([data[40] ^ 255]) + data[41:],
    "no nodes": _clear("node"),
    "no inputs": _clear("input"),
    "no outputs": _clear("output"),
    "no constants": _clear("initializer"),
    "no opset": lambda model: model.ClearField("opset_import"),
    "a late opset": lambda model: setattr(model.opset_import[0], "version", 99),
    "an input of another name": _rename("input"),
    "an output of another name": _rename("output"),
    "an input of another type": _set_type("input", TensorProto.DOUBLE),
    "an output of another type": _set_type("output", TensorProto.STRING),
    "inputs of another length": _set_lengths("input", 7),
    "outputs of another length": _set_lengths("output", 2**40),
    "an output of negative length": _set_lengths("output", -1),
    "nested functions": _nested,
    "functions that call each other": lambda model: _nested(model, 3, cyclic=True),
    "an endless loop": _endless_loop,
    "a deformable attention over a prime": _deformable,
    "a terabyte when it runs": _expanded,
    "a terabyte of constants": _claims,
    "constants of another file": _external("../outside", "0", "16"),
    "constants of an absolute file": _external("/etc/passwd", "0", "16"),
    "constants beyond the file": _external("weights.safetensors", "999999999999", "16"),
    "constants at a negative place": _external("weights.safetensors", "-16", "16"),
    "constants without a length": _external("weights.safetensors", "0", "x"),
    "a foreign op": lambda model: model.graph.node.append(helper.make_node("Run", [], ["ran"], domain="evil")),
    "NaN": _nan,
    "positions that there are not": _positions,
}
