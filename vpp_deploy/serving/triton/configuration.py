"""Triton's model configurations (`config.pbtxt`), in protobuf's text format."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from vpp_deploy.bundle.classification_manifest import ClassificationManifest
from vpp_deploy.bundle.manifest import GraphRole, Manifest
from vpp_deploy.serving.triton.settings import Settings

MARK: Final = "# Written by vpp-deploy triton."
"""First line of a configuration: the mark of a model that a later run may replace."""
_TYPES: Final = {
    "bool": "TYPE_BOOL",
    "uint8": "TYPE_UINT8",
    "int8": "TYPE_INT8",
    "int32": "TYPE_INT32",
    "int64": "TYPE_INT64",
    "float16": "TYPE_FP16",
    "bfloat16": "TYPE_BF16",
    "float32": "TYPE_FP32",
}
_MICROSECONDS: Final = 1_000_000
_BATCH_DELAY: Final = 2000
"""Microseconds that a picture waits for others to share a batch with."""

Message = Mapping[str, Any]


class Word(str):
    """A value that stands without quotes: one of an enumeration."""


def video_configuration(name: str, settings: Settings) -> str:
    """Of a model of videos: one request a frame, one sequence a stream."""
    return _text(
        {
            "name": name,
            "backend": "python",
            "max_batch_size": 0,
            "input": _pictures(),
            "output": [
                _tensor("IDENTITIES", "int64", [-1]),
                _tensor("LABELS", "int64", [-1]),
                _tensor("SCORES", "float32", [-1]),
                _tensor("BOXES", "float32", [-1, 4]),
                _tensor("MASKS", "bool", [-1, -1, -1]),
                _strings("RESULT"),
            ],
            "instance_group": _ON_PROCESSOR,
            "sequence_batching": {
                "max_sequence_idle_microseconds": settings.idle_seconds * _MICROSECONDS,
                # More than streams, so that the model refuses one too many and Triton does not let it wait.
                "oldest": {"max_candidate_sequences": 2 * settings.max_streams + 8},
            },
            "parameters": _parameters(settings.to_parameters()),
        }
    )


def classifier_configuration(name: str, manifest: ClassificationManifest, parameters: Mapping[str, str]) -> str:
    """Of a classifier of images: without state, in batches of up to the bundle's size."""
    top = min(int(parameters["top"]), len(manifest.class_names))
    batched = {"dynamic_batching": {"max_queue_delay_microseconds": _BATCH_DELAY}} if manifest.batch > 1 else {}
    return _text(
        {
            "name": name,
            "backend": "python",
            "max_batch_size": manifest.batch,
            "input": _pictures(),
            "output": [_tensor("LABELS", "int64", [top]), _tensor("SCORES", "float32", [top]), _strings("RESULT")],
            "instance_group": _ON_PROCESSOR,
            **batched,
            "parameters": _parameters(parameters),
        }
    )


def graph_configuration(name: str, manifest: Manifest, role: GraphRole, backend: Message) -> str:
    """Of one graph of a bundle, which a backend of Triton's own runs.

    Args:
        name: of the model.
        manifest: of the bundle.
        role: of the graph.
        backend: the fields that name the backend.
    """
    graph = manifest.graphs[role]
    states = [_spec(spec.input, spec) for spec in manifest.state] if role == "step" else []
    following = [_spec(spec.output, spec) for spec in manifest.state]
    return _text(
        {
            "name": name,
            **backend,
            "max_batch_size": 0,
            "input": [*(_spec(spec.name, spec) for spec in graph.inputs), *states],
            "output": [*(_spec(spec.name, spec) for spec in graph.outputs), *following],
        }
    )


_ON_PROCESSOR: Final = [{"count": 1, "kind": Word("KIND_CPU")}]


def _pictures() -> list[Message]:
    """What a frame or picture can be sent as."""
    return [_tensor("FRAME", "uint8", [-1, -1, 3], optional=True), _strings("JPEG", optional=True)]


def _tensor(name: str, dtype: str, shape: Sequence[int], **more: Any) -> Message:
    return {"name": name, "data_type": Word(_TYPES[dtype]), "dims": list(shape), **more}


def _spec(name: str, spec: Any) -> Message:
    return _tensor(name, spec.dtype, spec.shape)


def _strings(name: str, **more: Any) -> Message:
    return {"name": name, "data_type": Word("TYPE_STRING"), "dims": [1], **more}


def _parameters(values: Mapping[str, str]) -> list[Message]:
    return [{"key": key, "value": {"string_value": value}} for key, value in values.items()]


def _text(message: Message) -> str:
    return "\n".join([MARK, *_lines(message, ""), ""])


def _lines(message: Message, indent: str) -> list[str]:
    lines = []
    for field, value in message.items():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, Mapping):
                lines += [f"{indent}{field} {{", *_lines(one, f"{indent}  "), f"{indent}}}"]
            else:
                lines.append(f"{indent}{field}: {_value(one)}")
    return lines


def _value(value: Any) -> str:
    if isinstance(value, Word):
        return value
    return json.dumps(value, ensure_ascii=False)  # of strings, whole numbers and truth values, both are alike
