"""What the manifest of a model says whose inputs and outputs the package does not interpret."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import model_validator

from vpp_deploy.bundle.manifest import AT_ONCE, FRAME_BY_FRAME, GraphRole, Manifest, TensorSpec


class TensorsManifest(Manifest):
    """Tensors in, tensors out; with a state (graphs `init` and `step`) or without one (graph `model`).

    Both graphs of a model with a state take the same inputs and give the same outputs, its state aside.
    """

    task: ClassVar[str] = "tensors"
    allowed_roles: ClassVar[tuple[tuple[GraphRole, ...], ...]] = (AT_ONCE, FRAME_BY_FRAME)

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What every frame takes, state aside."""
        return self.graphs[self.roles[-1]].inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What every frame gives, state aside."""
        return self.graphs[self.roles[-1]].outputs

    @model_validator(mode="after")
    def _alike(self) -> Self:
        for role, graph in self.graphs.items():
            if (graph.inputs, graph.outputs) != (self.inputs, self.outputs):
                raise ValueError(f"graphs.{role}: its inputs and outputs differ from those of {self.roles[-1]}")
        if self.state and "step" not in self.graphs:
            raise ValueError("state: a model with a state has the graphs init and step")
        return self
