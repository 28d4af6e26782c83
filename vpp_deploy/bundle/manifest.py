"""The manifest of a bundle: everything that a runtime must know about the graphs next to it.

The schema is validated on reading and on writing. `SCHEMA_VERSION` grows with every change that an older reader would
misread; a reader refuses a newer schema instead of guessing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Final, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from vpp_deploy.bundle.hashing import sha256_of_bytes
from vpp_deploy.errors import UsageError

SCHEMA_VERSION: Final = 3
"""2 added the family `papr`, 3 the task beside the family. Bundles of versions 1 and 2 are read (`upgraded`)."""

DType = Literal["float32", "float16", "int32", "uint8", "bool"]
GraphRole = Literal["init", "step", "model"]
"""What a graph is for. `init` and `step` belong to a model that runs frame by frame with a state: the first frame, and
every later one. `model` is the only graph of a model without state."""
FRAME_BY_FRAME: Final[tuple[GraphRole, ...]] = ("init", "step")
AT_ONCE: Final[tuple[GraphRole, ...]] = ("model",)
Positive = Annotated[int, Field(gt=0, lt=2**31)]
"""A length or a count, as in the C++ runtime."""
Large = Annotated[int, Field(ge=0, lt=2**63)]
ITEM_BYTES: Final[dict[DType, int]] = {"float32": 4, "float16": 2, "int32": 4, "uint8": 1, "bool": 1}


class Strict(BaseModel):
    """Base of every part of a manifest: no unknown fields, no changes, no NaN and no infinity."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class MemoryClaim(NamedTuple):
    """Memory that a part of a manifest asks for: what it is, in words, and how many bytes."""

    what: str
    nbytes: int


class TensorSpec(Strict):
    """Name, dtype and static shape of one graph input or output."""

    name: str
    dtype: DType
    shape: tuple[Positive, ...]

    @property
    def nbytes(self) -> int:
        """Its size in bytes."""
        return math.prod(self.shape) * ITEM_BYTES[self.dtype]


class StateSpec(TensorSpec):
    """One state tensor: what a frame leaves for the next one.

    Attributes:
        name: what it is, e.g. `reference`.
        input: its name as an input of the step graph.
        output: its name as an output of both graphs.
        initial: where the first value comes from. `init-graph`: the init graph (first frame) produces it.
    """

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
        family: how tokens are pruned, e.g. `vpp`: a name in `vpp_deploy.families.FAMILIES`, or of another package.
        task: what comes out, e.g. `segmentation`: a name in `vpp_deploy.tasks.TASKS`.
        keep_schedule: of VPP `dense`, `0.55`, `0.4` or `custom`; of others as the family writes it, mostly a ratio.
        dataset: the label set, e.g. `youtube-vis-2021`; "" for a model without labels.
        config: the full configuration from which the family rebuilds the PyTorch reference.
    """

    name: str
    family: str
    task: str
    keep_schedule: str
    dataset: str
    config: dict[str, Any]


class WeightsProvenance(Strict):
    """Where weights came from.

    A file (its name and hash), a library's download, a seeded random initialisation, or a module in memory (its class).
    """

    kind: Literal["checkpoint", "random", "shipped", "pretrained", "memory"]
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
    weights: WeightsProvenance
    proposal_weights: WeightsProvenance | None = None


class QuantizationSearch(Strict):
    """How the layers that stay float32 were found. Errors are shares: 0.01 is one in a hundred.

    Attributes:
        bound: the error that was allowed.
        error: that of the choice: the largest of `errors`.
        error_of_all: the same with every layer quantised.
        errors: of each output and state tensor, teacher-forced on held-out data.
        drift: the same, free-running.
        runs: held-out frames, or batches.
        layers: the error that each group of layers causes alone, the worst first.
    """

    bound: float
    error: float
    error_of_all: float
    errors: dict[str, float]
    drift: dict[str, float]
    runs: Positive
    layers: dict[str, float]


class Quantization(Strict):
    """How a bundle's products got a smaller type than they were exported in, see docs/quantization.md.

    Attributes:
        ranges: how the ranges of activations followed from the data; None in types that have no scale.
        percentile: share of the values within a range, in percent; None for other methods.
        data: name of the file or folder that was shown; None if none was needed.
        runs: how often each graph ran on it for ranges.
        products: of each graph, how many compute in the smaller type.
        convolutions: whether convolutions do, too.
        float32: groups of layers that were left as they are.
        search: how those were found; None if none was asked for.
    """

    ranges: Literal["mse", "percentile", "max"] | None = None
    percentile: float | None = None
    data: str | None = None
    runs: dict[GraphRole, Large]
    products: dict[GraphRole, Large]
    convolutions: bool = False
    float32: tuple[str, ...] = ()
    search: QuantizationSearch | None = None


class FileRecord(Strict):
    """Size and hash of a file in the bundle."""

    bytes: Large
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def made_again(quantised: bool) -> str:
    """What to do about a damaged bundle: what made it, once more."""
    return "quantise the float32 bundle again (vpp-deploy quantize)" if quantised else "export the bundle again"


class Manifest(Strict):
    """What `manifest.json` says of every bundle, whatever its model: the contract with whatever runs it."""

    task: ClassVar[str]
    allowed_roles: ClassVar[tuple[tuple[GraphRole, ...], ...]]
    """The sets of graphs that a bundle of this task can have."""

    schema_version: Literal[3] = SCHEMA_VERSION
    model: ModelSpec
    precision: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")] = "float32"
    quantization: Quantization | None = None
    graphs: dict[GraphRole, GraphSpec]
    state: tuple[StateSpec, ...] = ()
    weights_file: str
    provenance: Provenance
    files: dict[str, FileRecord]

    @property
    def again(self) -> str:
        """See `made_again`."""
        return made_again(self.quantization is not None)

    @property
    def roles(self) -> tuple[GraphRole, ...]:
        """The graphs, in the order in which a stream runs them; the last one repeats."""
        return next(roles for roles in self.allowed_roles if set(roles) == set(self.graphs))

    @classmethod
    def of(cls, manifest: Manifest, purpose: str) -> Self:
        """The manifest as one of this task.

        Args:
            manifest: any manifest.
            purpose: what needs this task, for the message.

        Raises:
            UsageError: it is of another task.
        """
        if not isinstance(manifest, cls):
            raise UsageError(
                f"{purpose} needs a bundle for {cls.task}; {manifest.model.name} (family {manifest.model.family}) is "
                f"for {manifest.task}"
            )
        return manifest

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.model.task != self.task:
            raise ValueError(f"model.task: {self.model.task} is not {self.task}")
        wanted = next((roles for roles in self.allowed_roles if roles[-1] in self.graphs), self.allowed_roles[-1])
        if missing := [role for role in wanted if role not in self.graphs]:
            raise ValueError(f"graphs: missing the phase {', '.join(missing)}")
        if other := [role for role in self.graphs if role not in wanted]:
            raise ValueError(f"graphs: the phase {', '.join(other)} is not one of task {self.task}")
        used = [self.weights_file, *(graph.file for graph in self.graphs.values())]
        for name in used:
            if name not in self.files:
                raise ValueError(f"files: {name!r} is used but has no size and hash")
        if len(set(used)) < len(used):
            raise ValueError("graphs: each graph and the weights must be a file of its own")
        inputs = [state.input for state in self.state]
        outputs = [state.output for state in self.state]
        if inputs != sorted(inputs) or outputs != sorted(outputs):
            raise ValueError("state: input and output names must sort in the same order as the states are listed")
        self._names_differ()
        return self

    def _names_differ(self) -> None:
        if len({state.name for state in self.state}) < len(self.state):
            raise ValueError("state: each tensor must have a name of its own")
        for role, graph in self.graphs.items():
            names = [tensor.name for tensor in (*graph.inputs, *graph.outputs)]
            names += [name for state in self.state for name in (state.input, state.output)]
            if len(set(names)) < len(names):
                raise ValueError(f"graphs.{role}: each input, output and state must have a name of its own")

    @model_serializer(mode="wrap")
    def _as_before(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Readers that do not know quantised bundles refuse the field: only those bundles have it."""
        content: dict[str, Any] = handler(self)
        if self.quantization is None:
            content.pop("quantization", None)  # a dump without defaults has none
        return content

    @property
    def fingerprint(self) -> str:
        """Equal for bundles of the same graphs and weights, whose streams can take over from each other."""
        names = [self.weights_file, *(self.graphs[role].file for role in self.roles)]
        return sha256_of_bytes("".join(self.files[name].sha256 for name in names).encode())

    @property
    def bundle_hash(self) -> str:
        """Equal for bundles that give the same results: SHA-256 of everything but how and when they were made."""
        content = self.model_dump(mode="json", exclude={"provenance"}, exclude_defaults=True)
        return sha256_of_bytes(json.dumps(content, sort_keys=True).encode())

    def inputs_of(self, role: GraphRole) -> dict[str, TensorSpec]:
        """What a graph takes, by name, state included."""
        graph = self.graphs[role]
        states = self.state if role == "step" else ()
        return {tensor.name: tensor for tensor in graph.inputs} | {state.input: state for state in states}

    def outputs_of(self, role: GraphRole) -> dict[str, TensorSpec]:
        """What a graph gives, by name, state included."""
        graph = self.graphs[role]
        return {tensor.name: tensor for tensor in graph.outputs} | {state.output: state for state in self.state}

    def memory_claims(self) -> Iterator[MemoryClaim]:
        """What whoever runs the model allocates because the manifest says so."""
        for role in self.roles:
            tensors = (*self.inputs_of(role).values(), *self.outputs_of(role).values())
            yield MemoryClaim(f"inputs, outputs and state of the {role} graph", sum(item.nbytes for item in tensors))


class FrameManifest(Manifest):
    """A model that takes pictures of one size and knows names for what it finds.

    Attributes:
        frame_size: height and width of its input in pixels.
        class_names: names of the classes, in label order.
    """

    frame_size: tuple[Positive, Positive]
    class_names: tuple[str, ...]

    def memory_claims(self) -> Iterator[MemoryClaim]:
        """See `Manifest`; and a frame."""
        yield from super().memory_claims()
        height, width = self.frame_size
        yield MemoryClaim(f"a frame of {height}x{width} pixels", 3 * height * width)
