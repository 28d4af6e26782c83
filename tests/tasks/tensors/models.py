"""Two tiny models of plain tensors and their family: one frame by frame with a state, one at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from vpp_deploy.bundle import Bundle
from vpp_deploy.exporters.checkpoint import load_strictly, weights_of
from vpp_deploy.exporters.request import ExportRequest
from vpp_deploy.exporters.tensors import TensorModel, TensorsReference, export_tensors
from vpp_deploy.exporters.weights import Weights
from vpp_deploy.families import Family
from vpp_deploy.ops import gather_tokens, select_tokens
from vpp_deploy.options import NoOptions

HEIGHT, WIDTH, PATCH, CHANNELS, KEPT = 16, 24, 4, 8, 6
PATCHES = HEIGHT // PATCH * (WIDTH // PATCH)
Arrays = dict[str, np.ndarray]


class Memory(nn.Module):
    """Keeps the brightest patches of a picture, and mixes them with those of the pictures before."""

    names: ClassVar = (("logits", "kept"), ("memory", "age"))

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Linear(PATCH * PATCH * 3, CHANNELS)
        self.head = nn.Linear(KEPT * CHANNELS, 3)

    @property
    def inputs(self) -> dict[str, Tensor]:
        return {"frame": torch.zeros(1, HEIGHT, WIDTH, 3, dtype=torch.uint8)}

    def forward(self, frame: Tensor, memory: Tensor | None = None, age: Tensor | None = None) -> tuple[Tensor, ...]:
        """`[1, H, W, 3]` uint8; state `[1, K, C]` and `[1]` int32."""
        rows = (frame.float() / 255).reshape(1, HEIGHT // PATCH, PATCH, WIDTH // PATCH, PATCH, 3)
        patches = rows.transpose(2, 3).reshape(1, PATCHES, -1)
        kept = select_tokens(patches.mean(-1), KEPT)
        tokens = gather_tokens(self.embed(patches), kept)
        if memory is None or age is None:
            memory, age = tokens, torch.zeros(1, dtype=torch.int32)
        else:
            memory, age = (memory + tokens) / 2, age + 1
        return self.head(memory.flatten(1)), kept, memory, age


class Sums(nn.Module):
    """Two inputs of numbers, and no state."""

    names: ClassVar = (("sum", "best"), ())

    @property
    def inputs(self) -> dict[str, Tensor]:
        return {"values": torch.zeros(2, 5), "steps": torch.zeros(2, dtype=torch.int32)}

    def forward(self, values: Tensor, steps: Tensor) -> tuple[Tensor, ...]:
        """`[2, 5]` and `[2]` int32."""
        return values.sum(1), values.argmax(1).to(torch.int32) + steps


KINDS = {"memory": Memory, "sums": Sums}


def model_of(request: ExportRequest) -> TensorModel:
    weights = Weights.of(request)
    name = request.model.removeprefix("tensors-test:") if isinstance(request.model, str) else None
    module: Any = KINDS[name]() if name else request.model
    weights.fill(module)
    outputs, state = module.names
    return TensorModel(
        module=module,
        name=f"tensors-test:{type(module).__name__.lower()}",
        family="tensors-test",
        inputs=module.inputs,
        outputs=outputs,
        state=state,
        keep="6",
        config={"kind": type(module).__name__.lower()},
        weights=weights.record,
    )


def export(request: ExportRequest, options: NoOptions) -> Bundle:
    return export_tensors(request, lambda: model_of(request))


def open_reference(bundle: Bundle, selection: str) -> TensorsReference:
    module = KINDS[bundle.manifest.model.config["kind"]]()
    return TensorsReference(bundle, load_strictly(module, weights_of(bundle), bundle.weights_path))


FAMILY = Family(
    name="tensors-test",
    title="Test",
    prefix="tensors-test:",
    task="tensors",
    example="tensors-test:memory",
    keep="nothing else",
    default_keep="6",
    models=lambda: {"memory": "with a state", "sums": "without one"},
    export=export,
    reference=open_reference,
)
Memory.family = Sums.family = FAMILY  # type: ignore[attr-defined]


def pictures(count: int, seed: int = 0) -> list[Arrays]:
    """Inputs of `Memory`, frame by frame."""
    generator = np.random.default_rng(seed)
    return [{"frame": generator.integers(0, 256, (1, HEIGHT, WIDTH, 3), np.uint8)} for _ in range(count)]


def numbers(count: int, seed: int = 0) -> list[Arrays]:
    """Inputs of `Sums`."""
    generator = np.random.default_rng(seed)
    return [
        {
            "values": generator.standard_normal((2, 5), np.float32),
            "steps": generator.integers(0, 9, 2, np.int32),
        }
        for _ in range(count)
    ]


def stacked(frames: Sequence[Mapping[str, np.ndarray]]) -> Arrays:
    """As an `.npz` file has them."""
    return {name: np.stack([frame[name] for frame in frames]) for name in frames[0]}
