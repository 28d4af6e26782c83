"""The manifest of a bundle: everything that a runtime must know about the graphs next to it.

The schema is validated on reading and on writing. `SCHEMA_VERSION` grows with every change that an older reader would
misread; a reader refuses a newer schema instead of guessing.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from vpp_deploy.errors import UsageError
from vpp_deploy.precision import Precision

SCHEMA_VERSION: Final = 2
"""2 added the family `papr`. Bundles of version 1 are read as they are."""

DType = Literal["float32", "float16", "int32", "uint8", "bool"]
Phase = Literal["init", "step", "model"]
"""`init` and `step` belong to a model with state: first frame, and every later one. Without state there is `model`."""
Positive = Annotated[int, Field(gt=0)]


class Strict(BaseModel):
    """Base of every part of a manifest: no unknown fields, no changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TensorSpec(Strict):
    """Name, dtype and static shape of one graph input or output."""

    name: str
    dtype: DType
    shape: tuple[Positive, ...]


class StateSpec(Strict):
    """One state tensor: what a frame leaves for the next one.

    Attributes:
        name: what it is, e.g. `reference`.
        input: its name as an input of the step graph.
        output: its name as an output of both graphs.
        initial: where the first value comes from. `init-graph`: the init graph (first frame) produces it.
    """

    name: str
    dtype: DType
    shape: tuple[Positive, ...]
    input: str
    output: str
    initial: Literal["init-graph"] = "init-graph"


class GraphSpec(Strict):
    """One phase's graph: its file in the bundle and its inputs and outputs, state tensors excluded."""

    file: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class ModelSpec(Strict):
    """Which model the bundle holds.

    Attributes:
        name: e.g. `vpp-small`.
        family: `vpp`, video instance segmentation, or `papr`, classification.
        keep_schedule: of VPP `dense`, `0.55`, `0.4` or `custom`; of PaPr the keep ratio.
        dataset: the label set, e.g. `youtube-vis-2021`.
        config: the full configuration from which `vpp_deploy.models` rebuilds the PyTorch reference.
    """

    name: str
    family: Literal["vpp", "papr"]
    keep_schedule: str
    dataset: str
    config: dict[str, Any]


class WeightsSource(Strict):
    """Where weights came from: a file (its name and hash), a library's download, or a seeded random initialisation."""

    kind: Literal["checkpoint", "random", "shipped", "pretrained"]
    name: str
    sha256: str | None = None
    seed: int | None = None


class Provenance(Strict):
    """How the bundle was made.

    Attributes:
        created: UTC time, ISO 8601.
        vpp_deploy: version of this package.
        torch: version of PyTorch.
        onnx: version of onnx.
        opset: of the graphs.
        weights: of the model.
        proposal_weights: of the proposal network of PaPr; None if there is none.
    """

    created: str
    vpp_deploy: str
    torch: str
    onnx: str
    opset: Positive
    weights: WeightsSource
    proposal_weights: WeightsSource | None = None


class FileRecord(Strict):
    """Size and hash of a file in the bundle."""

    bytes: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Manifest(Strict):
    """What `manifest.json` says of every bundle, whatever its model: the contract with whatever runs it."""

    family: ClassVar[str]
    phases: ClassVar[tuple[Phase, ...]]
    """The graphs of a bundle of this family, in the order in which a stream runs them; the last one repeats."""

    schema_version: Literal[1, 2] = SCHEMA_VERSION
    model: ModelSpec
    precision: Precision = "float32"
    frame_size: tuple[Positive, Positive]
    class_names: tuple[str, ...]
    graphs: dict[Phase, GraphSpec]
    state: tuple[StateSpec, ...]
    weights_file: str
    provenance: Provenance
    files: dict[str, FileRecord]

    @classmethod
    def of(cls, manifest: Manifest, purpose: str) -> Self:
        """The manifest as one of this family.

        Args:
            manifest: any manifest.
            purpose: what needs this family, for the message.

        Raises:
            UsageError: it is of another family.
        """
        if not isinstance(manifest, cls):
            raise UsageError(
                f"{purpose} needs a bundle of family {cls.family}; {manifest.model.name} is of family {manifest.family}"
            )
        return manifest

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.model.family != self.family:
            raise ValueError(f"model.family: {self.model.family} is not {self.family}")
        if missing := [phase for phase in self.phases if phase not in self.graphs]:
            raise ValueError(f"graphs: missing the phase {', '.join(missing)}")
        if other := [phase for phase in self.graphs if phase not in self.phases]:
            raise ValueError(f"graphs: the phase {', '.join(other)} is not one of family {self.model.family}")
        for used in [self.weights_file, *(graph.file for graph in self.graphs.values())]:
            if used not in self.files:
                raise ValueError(f"files: {used!r} is used but has no size and hash")
        inputs = [state.input for state in self.state]
        outputs = [state.output for state in self.state]
        if inputs != sorted(inputs) or outputs != sorted(outputs):
            raise ValueError("state: input and output names must sort in the same order as the states are listed")
        return self
