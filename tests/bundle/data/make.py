"""Writes the bundles next to this file, with whatever version of the package is imported. See README.md.

    PYTHONPATH=<a tree of that version> python tests/bundle/data/make.py v2-vpp v2-papr

Older versions run it too, so it uses only what all of them have.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

import vpp_deploy
from vpp_deploy import bundle, ops

HERE = Path(__file__).parent
Fields = dict[str, Any]
Arrays = Mapping[str, Any]
Made = tuple[bundle.Bundle, list[Arrays]]
VERSION: int = bundle.SCHEMA_VERSION

PATCH, ROWS, COLUMNS = 16, 2, 3
HEIGHT, BREADTH = ROWS * PATCH, COLUMNS * PATCH
TOKENS, WIDTH, KEPT, TRACKS, CLASSES = ROWS * COLUMNS, 16, 3, 2, 3
FRAMES = 3

VIDEO = """
<ir_version: 10, opset_import: ["" : 20, "vpp" : 1]>
%(phase)s (%(inputs)s) => (
    float[%(queries)d, 4] class_logits, float[%(queries)d, 4, 6] mask_logits, float[%(queries)d, 16] query_features,
    int32[%(queries)d] query_indices, int32[1] candidates, int32[3] kept_selection_1,
    float[3, 16] state_out_00_reference, int32[3] state_out_01_positions
) <float[1, 6, 16] new, float[1, 6, 16] mixed, float[1, 6] scores, bool[1, 6] all, int32[1, 3] kept,
   float[1, 3, 16] reference, int32[1, 3] positions, float[1, 3, 16] past> {
    picture = Cast <to = 1> (frame)
    halved = Constant <value_float = 127.5> ()
    centred = Sub (picture, halved)
    normal = Div (centred, halved)
    content = ReduceProd <keepdims = 0> (content_size)
    area = Cast <to = 1> (content)
    whole = Constant <value_float = 1536.0> ()
    share = Div (area, whole)
    into_patches = Constant <value_ints = [2, 16, 3, 16, 3]> ()
    patches = Reshape (normal, into_patches)
    inside_patches = Constant <value_ints = [1, 3]> ()
    means = ReduceMean <keepdims = 0> (patches, inside_patches)
    into_tokens = Constant <value_ints = [1, 6, 3]> ()
    colours = Reshape (means, into_tokens)
    embedded = MatMul (colours, embedding)
    new = Mul (embedded, share)
    %(past)s
    last = Constant <value_ints = [2]> ()
    scores = ReduceMean <keepdims = 0> (mixed, last)
    nowhere = Constant <value_float = -1000.0> ()
    all = Greater (scores, nowhere)
    kept = vpp.SelectTokens <k = 3, by_position = 1> (scores, all)
    reference = vpp.GatherTokens (mixed, kept)
    zero = Constant <value_ints = [0]> ()
    kept_selection_1 = Squeeze (kept, zero)
    state_out_01_positions = Squeeze (kept, zero)
    state_out_00_reference = Squeeze (reference, zero)
    unmapped = Squeeze (mixed, zero)
    tokens = MatMul (unmapped, mixing)
    %(query_features)s
    class_logits = MatMul (query_features, head)
    into_cells = Constant <value_ints = [4, 8, 6, 8, 3]> ()
    cells = Reshape (normal, into_cells)
    cell_means = ReduceMean <keepdims = 0> (cells, inside_patches)
    into_rows = Constant <value_ints = [24, 3]> ()
    cell_colours = Reshape (cell_means, into_rows)
    pixels = MatMul (cell_colours, mask_embedding)
    pixels_last = Transpose <perm = [1, 0]> (pixels)
    flat_masks = MatMul (query_features, pixels_last)
    into_masks = Constant <value_ints = [%(queries)d, 4, 6]> ()
    mask_logits = Reshape (flat_masks, into_masks)
    indices = Constant <value_ints = [%(indices)s]> ()
    query_indices = Cast <to = 6> (indices)
    count = Constant <value_ints = [%(queries)d]> ()
    candidates = Cast <to = 6> (count)
}
"""
INIT = {
    "phase": "init",
    "inputs": "uint8[32, 48, 3] frame, int32[2] content_size",
    "queries": TOKENS,
    "indices": "0, 1, 2, 3, 4, 5",
    "past": "mixed = Identity (new)",
    "query_features": "query_features = Identity (tokens)",
}
STEP = {
    "phase": "step",
    "inputs": "uint8[32, 48, 3] frame, int32[2] content_size, float[2, 16] track_queries, bool[2] track_valid, "
    "float[3, 16] state_in_00_reference, int32[3] state_in_01_positions",
    "queries": TOKENS + TRACKS,
    "indices": "0, 1, 2, 3, 4, 5, 6, 7",
    "past": """
    first = Constant <value_ints = [0]> ()
    positions = Unsqueeze (state_in_01_positions, first)
    past = Unsqueeze (state_in_00_reference, first)
    scattered = vpp.ScatterTokens (new, positions, past)
    sum = Add (new, scattered)
    half = Constant <value_float = 0.5> ()
    mixed = Mul (sum, half)""",
    "query_features": """
    column = Constant <value_ints = [1]> ()
    valid = Cast <to = 1> (track_valid)
    valid_rows = Unsqueeze (valid, column)
    tracks = Mul (track_queries, valid_rows)
    query_features = Concat <axis = 0> (tokens, tracks)""",
}
CLASSIFIER = """
<ir_version: 10, opset_import: ["" : 20, "vpp" : 1]>
model (uint8[2, 32, 48, 3] images) => (
    float[2, 3] logits, float[2, 2, 3] significance_patches, int32[2, 3] kept_patches
) <float[2, 6] scores, bool[2, 6] all, float[2, 6, 1] tokens, int32[2, 3] kept_patches> {
    picture = Cast <to = 1> (images)
    white = Constant <value_float = 255.0> ()
    unit = Div (picture, white)
    into_patches = Constant <value_ints = [2, 2, 16, 3, 16, 3]> ()
    patches = Reshape (unit, into_patches)
    inside = Constant <value_ints = [2, 4, 5]> ()
    significance_patches = ReduceMean <keepdims = 0> (patches, inside)
    flat = Constant <value_ints = [2, 6]> ()
    scores = Reshape (significance_patches, flat)
    nowhere = Constant <value_float = -1.0> ()
    all = Greater (scores, nowhere)
    kept_patches = vpp.SelectTokens <k = 3, by_position = 0> (scores, all)
    into_tokens = Constant <value_ints = [2, 6, 1]> ()
    tokens = Reshape (scores, into_tokens)
    kept_tokens = vpp.GatherTokens (tokens, kept_patches)
    middle = Constant <value_ints = [1]> ()
    mean = ReduceMean <keepdims = 0> (kept_tokens, middle)
    hidden = MatMul (mean, widen)
    logits = MatMul (hidden, head)
}
"""
MEAN = """
<ir_version: 10, opset_import: ["" : 20]>
%(phase)s (%(inputs)s) => (float[16] mean, float[16] state_out_00_sum, float[1] state_out_01_count) {
    scaled = MatMul (reading, mixing)
    one = Constant <value_floats = [1.0]> ()
    %(past)s
    mean = Div (state_out_00_sum, state_out_01_count)
}
"""
MEAN_INIT = {
    "phase": "init",
    "inputs": "float[16] reading",
    "past": "state_out_00_sum = Identity (scaled)\n state_out_01_count = Identity (one)",
}
MEAN_STEP = {
    "phase": "step",
    "inputs": "float[16] reading, float[16] state_in_00_sum, float[1] state_in_01_count",
    "past": "state_out_00_sum = Add (state_in_00_sum, scaled)\n state_out_01_count = Add (state_in_01_count, one)",
}


def weights(*shapes: tuple[str, tuple[int, ...]]) -> dict[str, Any]:
    """Numbers that look random, the same everywhere."""
    return {
        name: np.sin(np.arange(1, 1 + np.prod(shape)) * (7 + n)).reshape(shape).astype(np.float32)
        for n, (name, shape) in enumerate(shapes)
    }


def picture(number: int) -> Any:
    """A picture with some structure, the same everywhere."""
    y, x, channel = np.meshgrid(np.arange(HEIGHT), np.arange(BREADTH), np.arange(3), indexing="ij")
    return ((y * 5 + x * 3 + channel * 80 + number * 40) % 256).astype(np.uint8)


def graph(text: str, parameters: Mapping[str, Any]) -> onnx.ModelProto:
    """The graph with its parameters, and with the portable bodies of its `vpp` ops."""
    model = onnx.parser.parse_model(text)
    inputs = {name for node in model.graph.node for name in node.input}
    model.graph.initializer.extend(
        numpy_helper.from_array(value, name) for name, value in parameters.items() if name in inputs
    )
    if any(node.domain == ops.DOMAIN for node in model.graph.node):
        ops.attach_portable_functions(model)
    return model


def spec(info: onnx.ValueInfoProto) -> Fields:
    """How a manifest describes an input or output."""
    tensor = info.type.tensor_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
    return {"name": info.name, "dtype": dtype, "shape": tuple(dim.dim_value for dim in tensor.shape.dim)}


def described(models: Mapping[str, onnx.ModelProto]) -> Fields:
    """The manifest's `graphs` and `state`."""

    def without_state(infos: Any) -> tuple[Fields, ...]:
        return tuple(spec(info) for info in infos if not info.name.startswith("state_"))

    outputs = [spec(info) for info in next(iter(models.values())).graph.output]
    states = [output for output in outputs if output["name"].startswith("state_out_")]
    return {
        "graphs": {
            role: {
                "file": f"{role}.onnx",
                "inputs": without_state(model.graph.input),
                "outputs": without_state(model.graph.output),
            }
            for role, model in models.items()
        },
        "state": tuple(
            state
            | {
                "name": state["name"].removeprefix("state_out_")[3:],
                "input": state["name"].replace("state_out_", "state_in_"),
                "output": state["name"],
            }
            for state in states
        ),
    }


def write(
    name: str, task: str, family: str, models: Mapping[str, onnx.ModelProto], parameters: Arrays, fields: Fields
) -> bundle.Bundle:
    """A bundle, with whatever this version of the package calls things."""
    model = {"name": name, "family": family, "keep_schedule": "0.5", "dataset": "none", "config": {"width": WIDTH}}
    common = {
        "model": model | ({"task": task} if VERSION >= 3 else {}),
        "weights_file": "weights.safetensors",
        "provenance": {
            "created": "2026-01-01T00:00:00Z",
            "vpp_deploy": vpp_deploy.__version__,
            "torch": "none",
            "onnx": onnx.__version__,
            "opset": 20,
            "weights": {"kind": "random", "name": "random", "seed": 0},
        },
    }
    with bundle.BundleWriter(HERE / name) as writer:
        bundle.externalize(dict(models), writer.folder / "weights.safetensors", state_dict=dict(parameters))
        for role, graph_of_role in models.items():
            onnx.save(graph_of_role, writer.folder / f"{role}.onnx")
        kind = manifest_class(task)
        return writer.commit(lambda files: kind(**common, **described(models), **fields, files=dict(files)))


def manifest_class(task: str) -> Any:
    """What this version calls the manifest of a task."""
    if VERSION >= 3:
        from vpp_deploy.bundle.schema import MANIFESTS

        return MANIFESTS[task]
    if VERSION == 1:
        return bundle.Manifest
    return getattr(bundle, {"segmentation": "VppManifest", "classification": "PaprManifest"}[task])


def vpp(name: str) -> Made:
    """A video model with state, and what it is fed."""
    parameters = weights(
        ("embedding", (3, WIDTH)),
        ("mixing", (WIDTH, WIDTH)),
        ("head", (WIDTH, CLASSES + 1)),
        ("mask_embedding", (3, WIDTH)),
    )
    points = "pruning_points" if VERSION >= 3 else "selection_points"
    fields: Fields = {
        "frame_size": (HEIGHT, BREADTH),
        "patch_size": PATCH,
        "token_grid": (ROWS, COLUMNS),
        "preprocessing": {"mean": (127.5, 127.5, 127.5), "std": (127.5, 127.5, 127.5)},
        "detection": {
            "num_queries": TOKENS,
            "query_width": WIDTH,
            "max_tracks": TRACKS,
            "max_detections": TOKENS + TRACKS,
        },
        "tracker": {},
        "class_names": tuple(f"class {label}" for label in range(CLASSES)),
        points: (
            {
                "name": "selection_1",
                "block": 1,
                "output": "kept_selection_1",
                "keep_ratio": 0.5,
                "kept": KEPT,
                "phases": ("init", "step"),
            },
        ),
    }
    models = {str(role["phase"]): graph(VIDEO % role, parameters) for role in (INIT, STEP)}
    queries = np.cos(np.arange(TRACKS * WIDTH, dtype=np.float32)).reshape(TRACKS, WIDTH)
    inputs: list[Arrays] = [
        {
            "frame": picture(n),
            "content_size": np.array([HEIGHT, BREADTH - 8 * n], np.int32),
            "track_queries": queries * n,
            "track_valid": np.array([True, n == 2]),
        }
        for n in range(FRAMES)
    ]
    return write(name, "segmentation", "vpp", models, parameters, fields), inputs


def papr(name: str) -> Made:
    """A classifier of two images at once."""
    parameters = weights(("widen", (1, 128)), ("head", (128, CLASSES)))
    fields: Fields = {
        "frame_size": (HEIGHT, BREADTH),
        "preprocessing": {"mean": (0.0, 0.0, 0.0), "std": (255.0, 255.0, 255.0)},
        "batch": 2,
        "proposal": "brightness",
        "class_names": ("dark", "grey", "bright"),
        "pruning_points": (
            {
                "name": "patches",
                "grid": (ROWS, COLUMNS),
                "keep_ratio": 0.5,
                "kept": KEPT,
                "kept_output": "kept_patches",
                "significance_output": "significance_patches",
            },
        ),
        "cost": {"dense": 2, "pruned": 1, "proposal": 0},
    }
    models = {"model": graph(CLASSIFIER, parameters)}
    inputs: list[Arrays] = [{"images": np.stack([picture(n), picture(n + 1)])} for n in range(FRAMES)]
    return write(name, "classification", "papr", models, parameters, fields), inputs


def tensors(name: str) -> Made:
    """A running mean: plain tensors and two states."""
    parameters = weights(("mixing", (WIDTH, WIDTH)))
    models = {role["phase"]: graph(MEAN % role, parameters) for role in (MEAN_INIT, MEAN_STEP)}
    inputs: list[Arrays] = [{"reading": np.arange(WIDTH, dtype=np.float32) + n} for n in range(FRAMES)]
    return write(name, "tensors", "mean", models, parameters, {}), inputs


KINDS: Mapping[str, Callable[[str], Made]] = {
    "vpp": vpp,
    "papr": papr,
    "tensors": tensors,
}


def make(name: str) -> None:
    """Write a bundle, what its ONNX Runtime engine computes (`NAME.json`), and of video models the engine itself."""
    version, kind = name.split("-")
    if version != f"v{VERSION}":
        raise SystemExit(f"{name}: {vpp_deploy.__path__[0]} writes version {VERSION}")
    shutil.rmtree(HERE / name, ignore_errors=True)
    made, inputs = KINDS[kind](name)
    vpp_deploy.build_engine(made, "onnxruntime")
    stream = vpp_deploy.load_engine(made, "onnxruntime").open_stream()
    frames = [{"inputs": plain(frame), "outputs": plain(stream.run(frame))} for frame in inputs]
    if kind == "vpp":
        with vpp_deploy.VideoSession(vpp_deploy.load_engine(made, "onnxruntime")) as session:
            for n, frame in enumerate(frames):
                frame["instances"] = instances(session(picture(n)).instances)
    else:
        shutil.rmtree(made.path / "engines")
    (HERE / f"{name}.json").write_text("[\n" + ",\n".join(map(json.dumps, frames)) + "\n]\n")


def plain(arrays: Arrays) -> Fields:
    """Arrays as JSON; pictures are left out."""
    return {name: rounded(value) for name, value in arrays.items() if name not in ("frame", "images")}


def instances(found: Any) -> Fields:
    """The objects of a frame as JSON; of masks, the number of pixels."""
    fields = {name: rounded(getattr(found, name)) for name in ("labels", "scores", "identities", "boxes")}
    return fields | {"pixels": found.masks.sum(axis=(1, 2)).tolist()}


def rounded(array: Any) -> Any:
    """Short numbers: five decimals."""
    return array.astype(np.float64).round(5).tolist() if array.dtype == np.float32 else array.tolist()


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        make(argument)
