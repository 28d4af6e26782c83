"""A valid bundle in milliseconds: two tiny graphs that run, share their weights and carry state."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from tests.bundle.graphs import graph_of, provenance, value
from vpp_deploy.bundle import Bundle, BundleWriter, FileRecord, GraphRole, SegmentationManifest, externalize
from vpp_deploy.bundle.manifest import GraphSpec, ModelSpec, StateSpec, TensorSpec, WeightsProvenance
from vpp_deploy.bundle.segmentation_manifest import DetectionSpec, Preprocessing, PruningPoint, TrackerSpec

PATCH = 16
ROWS, COLUMNS = 2, 3
TOKENS, WIDTH, KEPT, TRACKS, CLASSES = ROWS * COLUMNS, 128, 3, 2, 5
HEIGHT, BREADTH = ROWS * PATCH, COLUMNS * PATCH

FRAME = TensorSpec(name="frame", dtype="uint8", shape=(HEIGHT, BREADTH, 3))
TRACK_QUERIES = TensorSpec(name="track_queries", dtype="float32", shape=(TRACKS, WIDTH))
KEPT_POSITIONS = TensorSpec(name="kept", dtype="int32", shape=(KEPT,))
STATE = (
    StateSpec(name="positions", dtype="int32", shape=(KEPT,), input="positions_in", output="positions_out"),
    StateSpec(name="reference", dtype="float32", shape=(KEPT, WIDTH), input="reference_in", output="reference_out"),
)


def state_dict(seed: int = 0) -> dict[str, npt.NDArray[Any]]:
    """Weights as PyTorch would name them, with a counter that no graph uses."""
    generator = np.random.default_rng(seed)
    return {
        "embedding.weight": generator.standard_normal((3, WIDTH), dtype=np.float32),
        "head.weight": generator.standard_normal((WIDTH, CLASSES), dtype=np.float32),
        "norm.num_batches_tracked": np.array(seed, np.int64),
    }


def models(seed: int = 0) -> dict[GraphRole, onnx.ModelProto]:
    """The init and the step graph with their weights inside. The step mixes the kept tokens of the last frame in."""
    return {"init": _model("init", seed), "step": _model("step", seed)}


def manifest(files: Mapping[str, FileRecord], **changes: Any) -> SegmentationManifest:
    """A manifest for `models`, with top-level fields replaced by `changes`."""
    fields: dict[str, Any] = {
        "model": ModelSpec(
            name="tiny",
            family="vpp",
            task="segmentation",
            keep_schedule="custom",
            dataset="none",
            config={"width": WIDTH},
        ),
        "frame_size": (HEIGHT, BREADTH),
        "patch_size": PATCH,
        "token_grid": (ROWS, COLUMNS),
        "preprocessing": Preprocessing(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375)),
        "detection": DetectionSpec(num_queries=TOKENS, query_width=WIDTH, max_tracks=TRACKS, max_detections=TOKENS),
        "tracker": TrackerSpec(),
        "class_names": tuple(f"class {label}" for label in range(CLASSES)),
        "pruning_points": (
            PruningPoint(
                name="selection_1", block=1, output="kept", keep_ratio=0.5, kept=KEPT, phases=("init", "step")
            ),
        ),
        "graphs": {
            "init": GraphSpec(file="init.onnx", inputs=(FRAME,), outputs=_outputs("init")),
            "step": GraphSpec(file="step.onnx", inputs=(FRAME, TRACK_QUERIES), outputs=_outputs("step")),
        },
        "state": STATE,
        "weights_file": "weights.safetensors",
        "provenance": provenance(WeightsProvenance(kind="random", name="random", seed=0)),
        "files": dict(files),
    }
    return SegmentationManifest(**(fields | changes))


def fill(folder: Path, seed: int = 0) -> None:
    """Write both graphs and their weights, but no manifest."""
    graphs = models(seed)
    externalize(graphs, folder / "weights.safetensors", state_dict=state_dict(seed))
    for phase, model in graphs.items():
        onnx.save(model, folder / f"{phase}.onnx")


def make_bundle(path: Path, *, seed: int = 0, overwrite: bool = False, **changes: Any) -> Bundle:
    """Write a bundle with random weights; `changes` replace top-level fields of the manifest."""
    with BundleWriter(path, overwrite=overwrite) as writer:
        fill(writer.folder, seed)
        return writer.commit(lambda files: manifest(files, **changes))


def _outputs(phase: GraphRole) -> tuple[TensorSpec, ...]:
    queries = TOKENS if phase == "init" else TOKENS + TRACKS
    return TensorSpec(name="logits", dtype="float32", shape=(queries, CLASSES)), KEPT_POSITIONS


def _model(phase: GraphRole, seed: int) -> onnx.ModelProto:
    node, weights = helper.make_node, state_dict(seed)
    constants = {
        "embedding": weights["embedding.weight"],
        "head": weights["head.weight"],
        "patches": np.array([ROWS, PATCH, COLUMNS, PATCH, 3]),
        "inside_a_patch": np.array([1, 3]),
        "colours": np.array([TOKENS, 3]),
        "channels": np.array([1]),
        "k": np.array([KEPT]),
        "half": np.array(0.5, np.float32),
    }
    nodes = [
        node("Cast", ["frame"], ["picture"], to=TensorProto.FLOAT),
        node("Reshape", ["picture", "patches"], ["patched"]),
        node("ReduceMean", ["patched", "inside_a_patch"], ["means"], keepdims=0),
        node("Reshape", ["means", "colours"], ["colour_tokens"]),
        node("MatMul", ["colour_tokens", "embedding"], ["new_tokens"]),
    ]
    if phase == "init":
        nodes += [node("Identity", ["new_tokens"], ["tokens"]), node("Identity", ["tokens"], ["queries"])]
    else:
        nodes += [
            node("Cast", ["positions_in"], ["past_positions"], to=TensorProto.INT64),
            node("Unsqueeze", ["past_positions", "channels"], ["past_rows"]),
            node("ScatterND", ["new_tokens", "past_rows", "reference_in"], ["past_tokens"]),
            node("Add", ["new_tokens", "past_tokens"], ["sum"]),
            node("Mul", ["sum", "half"], ["tokens"]),
            node("Concat", ["tokens", "track_queries"], ["queries"], axis=0),
        ]
    nodes += [
        node("MatMul", ["queries", "head"], ["logits"]),
        node("ReduceMean", ["tokens", "channels"], ["scores"], keepdims=0),
        node("TopK", ["scores", "k"], ["best", "by_score"]),
        node("TopK", ["by_score", "k"], ["by_position", "order"], largest=0),
        node("Gather", ["tokens", "by_position"], ["reference_out"], axis=0),
        node("Cast", ["by_position"], ["kept"], to=TensorProto.INT32),
        node("Identity", ["kept"], ["positions_out"]),
    ]
    step = phase == "step"
    inputs = [FRAME, *([TRACK_QUERIES] if step else [])]
    return graph_of(
        phase,
        nodes,
        [value(spec.name, spec) for spec in inputs] + [value(spec.input, spec) for spec in STATE if step],
        [value(spec.name, spec) for spec in _outputs(phase)] + [value(spec.output, spec) for spec in STATE],
        constants,
    )
