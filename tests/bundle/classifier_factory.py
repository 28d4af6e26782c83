"""A classifier's bundle in milliseconds: a tiny graph that tells dark, grey and bright pictures or clips apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from tests.bundle.graphs import graph_of, provenance, value
from vpp_deploy.bundle import Bundle, BundleWriter, externalize
from vpp_deploy.bundle.classification_manifest import (
    ClassificationManifest,
    ClassifierPreprocessing,
    ClipSpec,
    CostSpec,
    PruningPoint,
)
from vpp_deploy.bundle.manifest import GraphSpec, ModelSpec, TensorSpec, WeightsProvenance
from vpp_deploy.engines import build_engine
from vpp_deploy.engines.protocols import Engine

PATCH = 16
ROWS, COLUMNS = 2, 3
HEIGHT, WIDTH = ROWS * PATCH, COLUMNS * PATCH
CLASSES = ("dark", "grey", "bright")
TUBELET = 2
"""Frames of a layer of a clip."""
CLIP = ClipSpec(frames=4, sampling=2)


def make_classifier(path: Path, *, clip: ClipSpec | None = None, batch: int = 2, **changes: Any) -> Bundle:
    """Write a bundle of a model of images, or of clips.

    Significance is the mean brightness of a patch in [0, 1], and the brighter half of the patches stays. Labels go by
    the mean brightness of everything.
    """
    grid = (ROWS, COLUMNS) if clip is None else (clip.frames // TUBELET, ROWS, COLUMNS)
    kept = int(np.prod(grid)) // 2
    name, shape = ("images", ()) if clip is None else ("clips", (clip.frames,))
    point = PruningPoint(
        name="patches" if clip is None else "tubelets",
        grid=grid,
        keep_ratio=0.5,
        kept=kept,
        kept_output="kept",
        significance_output="significance",
    )
    inputs = (TensorSpec(name=name, dtype="uint8", shape=(batch, *shape, HEIGHT, WIDTH, 3)),)
    outputs = (
        TensorSpec(name="logits", dtype="float32", shape=(batch, len(CLASSES))),
        TensorSpec(name="significance", dtype="float32", shape=(batch, *grid)),
        TensorSpec(name="kept", dtype="int32", shape=(batch, kept)),
    )
    models = {"model": _model(inputs[0], outputs, batch)}
    with BundleWriter(path) as writer:
        externalize(models, writer.folder / "weights.safetensors", state_dict={"head": np.zeros(1, np.float32)})
        onnx.save(models["model"], writer.folder / "model.onnx")
        return writer.commit(
            lambda files: ClassificationManifest(
                **{
                    "model": ModelSpec(
                        name="papr:tiny",
                        family="papr",
                        task="classification",
                        keep_schedule="0.5",
                        dataset="brightness",
                        config={},
                    ),
                    "frame_size": (HEIGHT, WIDTH),
                    "preprocessing": ClassifierPreprocessing(mean=(0.0, 0.0, 0.0), std=(255.0, 255.0, 255.0)),
                    "batch": batch,
                    "clip": clip,
                    "class_names": CLASSES,
                    "pruning_points": (point,),
                    "cost": CostSpec(dense=2, pruned=1, proposal=0),
                    "graphs": {"model": GraphSpec(file="model.onnx", inputs=inputs, outputs=outputs)},
                    "weights_file": "weights.safetensors",
                    "provenance": provenance(WeightsProvenance(kind="checkpoint", name="tiny.pth", sha256="0" * 64)),
                    "files": dict(files),
                    **changes,
                }
            )
        )


def make_engine(path: Path, **options: Any) -> Engine:
    """The ONNX Runtime engine of such a bundle."""
    return build_engine(make_classifier(path, **options), "onnxruntime")


def _model(pixels: TensorSpec, outputs: tuple[TensorSpec, ...], batch: int) -> onnx.ModelProto:
    node = helper.make_node
    significance, kept = outputs[1], outputs[2]
    tokens = int(np.prod(significance.shape[1:]))
    frames = pixels.shape[1] if len(pixels.shape) == 5 else 1
    layers = max(1, frames // TUBELET)
    centres = np.array([0.0, 0.5, 1.0], np.float32)
    constants = {
        "patched": np.array([batch, layers, frames // layers, ROWS, PATCH, COLUMNS, PATCH, 3]),
        "inside": np.array([2, 4, 6, 7]),
        "grid": np.array(significance.shape),
        "flat": np.array([batch, tokens]),
        "white": np.array(255, np.float32),
        "head": np.tile(40 * centres / tokens, (tokens, 1)).astype(np.float32),
        "bias": -20 * centres**2,
        "k": np.array(kept.shape[1:]),
    }
    nodes = [
        node("Cast", [pixels.name], ["floats"], to=TensorProto.FLOAT),
        node("Div", ["floats", "white"], ["unit"]),
        node("Reshape", ["unit", "patched"], ["patches"]),
        node("ReduceMean", ["patches", "inside"], ["means"], keepdims=0),
        node("Reshape", ["means", "grid"], ["significance"]),
        node("Reshape", ["means", "flat"], ["tokens"]),
        node("TopK", ["tokens", "k"], ["best", "positions"]),
        node("Cast", ["positions"], ["kept"], to=TensorProto.INT32),
        node("MatMul", ["tokens", "head"], ["sums"]),
        node("Add", ["sums", "bias"], ["logits"]),
    ]
    ends = [value(spec.name, spec) for spec in outputs]
    return graph_of("model", nodes, [value(pixels.name, pixels)], ends, constants)
