"""The manifest of a bundle: everything that a runtime must know about the graphs next to it.

The schema is validated on reading and on writing. `SCHEMA_VERSION` grows with every change that an older reader would
misread; a reader refuses a newer schema instead of guessing.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

SCHEMA_VERSION: Final = 1

DType = Literal["float32", "float16", "int32", "uint8", "bool"]
Phase = Literal["init", "step"]
PHASES: tuple[Phase, Phase] = ("init", "step")
Positive = Annotated[int, Field(gt=0)]
Probability = Annotated[float, Field(ge=0.0, le=1.0)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TensorSpec(_Strict):
    """Name, dtype and static shape of one graph input or output."""

    name: str
    dtype: DType
    shape: tuple[Positive, ...]


class StateSpec(_Strict):
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


class GraphSpec(_Strict):
    """One phase's graph: its file in the bundle and its inputs and outputs, state tensors excluded."""

    file: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class SelectionPoint(_Strict):
    """A place in the network where tokens are selected.

    Attributes:
        name: e.g. `map_selection` or `selection_3` (before block 3).
        block: index of the first block that runs on the selected tokens.
        output: the graph output that holds the kept positions `[K]`, int32, ascending, row-major on the token grid.
        keep_ratio: K / N as configured.
        kept: K.
        phases: the phases in which the point is active.
    """

    name: str
    block: Annotated[int, Field(ge=0)]
    output: str
    keep_ratio: Annotated[float, Field(gt=0.0, le=1.0)]
    kept: Positive
    phases: tuple[Phase, ...]


class Preprocessing(_Strict):
    """How a picture becomes the `frame` input. Normalisation and zero padding happen inside the graph.

    Attributes:
        resize: `letterbox`: keep the aspect ratio, fill the top-left corner, pad right and bottom.
        interpolation: `bilinear` without antialiasing, half-pixel centres.
        colour: channel order of the frame.
        mean: per channel, in 0..255, subtracted in the graph.
        std: per channel, in 0..255, divided by in the graph.
    """

    resize: Literal["letterbox"] = "letterbox"
    interpolation: Literal["bilinear"] = "bilinear"
    colour: Literal["RGB"] = "RGB"
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class TrackerSpec(_Strict):
    """Constants of the query tracker (VPP evaluation configuration).

    Attributes:
        new_score: a detection of a learned query needs a score above this.
        track_score: a detection of a track query needs a score above this.
        low_score: an existing track below this keeps the feature that was fed in.
        existing_iou: mask IoU above which the weaker of two existing tracks is suppressed.
        new_iou: mask IoU above which a new detection is suppressed.
        max_age: a track not seen for this many frames is dropped.
    """

    new_score: Probability = 0.3
    track_score: Probability = 0.25
    low_score: Probability = 0.3
    existing_iou: Probability = 0.7
    new_iou: Probability = 0.4
    max_age: Positive = 10


class DetectionSpec(_Strict):
    """Capacities of the detector's outputs and track query inputs.

    Attributes:
        num_queries: learned queries of the decoder; query indices from here on are track slots.
        query_width: channels of a query feature.
        max_tracks: track query slots in the step graph.
        max_detections: candidate queries that leave a graph.
    """

    num_queries: Positive
    query_width: Positive
    max_tracks: Positive
    max_detections: Positive


class ModelSpec(_Strict):
    """Which model the bundle holds.

    Attributes:
        name: e.g. `vpp-small`.
        family: `vpp`.
        keep_schedule: `dense`, `0.55`, `0.4` or `custom`.
        dataset: the label set, e.g. `youtube-vis-2021`.
        config: the full configuration from which `vpp_deploy.models` rebuilds the PyTorch reference.
    """

    name: str
    family: Literal["vpp"]
    keep_schedule: str
    dataset: str
    config: dict[str, Any]


class WeightsSource(_Strict):
    """Where the weights came from: a checkpoint (file name and hash) or a seeded random initialisation."""

    kind: Literal["checkpoint", "random", "shipped"]
    name: str
    sha256: str | None = None
    seed: int | None = None


class Provenance(_Strict):
    """How the bundle was made."""

    created: str
    vpp_deploy: str
    torch: str
    onnx: str
    opset: Positive
    weights: WeightsSource


class FileRecord(_Strict):
    """Size and hash of a file in the bundle."""

    bytes: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Manifest(_Strict):
    """`manifest.json`: the contract between a bundle and whatever runs it."""

    schema_version: Literal[1] = SCHEMA_VERSION
    model: ModelSpec
    precision: Literal["float32", "float16", "bfloat16"] = "float32"
    frame_size: tuple[Positive, Positive]
    patch_size: Positive
    token_grid: tuple[Positive, Positive]
    preprocessing: Preprocessing
    detection: DetectionSpec
    tracker: TrackerSpec
    class_names: tuple[str, ...]
    selection_points: tuple[SelectionPoint, ...]
    graphs: dict[Phase, GraphSpec]
    state: tuple[StateSpec, ...]
    weights_file: str
    provenance: Provenance
    files: dict[str, FileRecord]

    @field_validator("graphs")
    @classmethod
    def _both_phases(cls, graphs: dict[Phase, GraphSpec]) -> dict[Phase, GraphSpec]:
        if missing := [phase for phase in PHASES if phase not in graphs]:
            raise ValueError(f"graphs: missing the phase {', '.join(missing)}")
        return graphs

    @model_validator(mode="after")
    def _consistent(self) -> Manifest:
        for used in [self.weights_file, *(graph.file for graph in self.graphs.values())]:
            if used not in self.files:
                raise ValueError(f"files: {used!r} is used but has no size and hash")
        inputs = [state.input for state in self.state]
        outputs = [state.output for state in self.state]
        if inputs != sorted(inputs) or outputs != sorted(outputs):
            raise ValueError("state: input and output names must sort in the same order as the states are listed")
        return self
