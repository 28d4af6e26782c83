"""The PyTorch reference as an engine: the very module that was exported, with the bundle's own weights."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import count, repeat
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from vpp_deploy.bundle.external_data import GRAPH_PREFIX
from vpp_deploy.bundle.manifest import GraphRole
from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.bundle.segmentation_manifest import SegmentationManifest
from vpp_deploy.engines.loaded import LoadedEngine
from vpp_deploy.engines.protocols import Array, HostStream, StreamState
from vpp_deploy.exporters.refusals import refusals_of
from vpp_deploy.families.vpp.adapter import Interaction
from vpp_deploy.families.vpp.backbone import BackboneOutput, BackboneState, Selection
from vpp_deploy.families.vpp.checkpoint import load_detector
from vpp_deploy.families.vpp.config import DetectorConfig
from vpp_deploy.families.vpp.detector import VppDetector
from vpp_deploy.families.vpp.frame_graph import FrameGraph, GraphOptions
from vpp_deploy.ops.associate_tokens import token_similarity


class Rerun(NamedTuple):
    """A frame run once more, and the decisions in it that rounding could flip.

    Attributes:
        outputs: the graph's outputs, state excluded.
        state: state tensors after the frame, by name.
        close_matches: (token, runner-up row, gap to the best match) of tokens with two nearly equal matches.
        close_masks: (layer, query, place, mask logit) of attention mask decisions with a logit near 0.
    """

    outputs: dict[str, Array]
    state: Mapping[str, Array]
    close_matches: list[tuple[int, int, float]]
    close_masks: list[tuple[int, int, int, float]]


class TorchEngine(LoadedEngine):
    """The reference that every other engine is compared with. Needs PyTorch; runs on the CPU in float32.

    Args:
        bundle: rebuilt from its manifest and its weights file, not from its graphs.
        by_threshold: keep the tokens whose score passes the threshold, as in training, however many that are.

    Raises:
        UsageError: the bundle is for another task.
        CheckpointError: the weights file does not fit the configuration in the manifest.
        ConfigError: the configuration in the manifest cannot be read.
    """

    backend = "torch"
    precision = "float32"

    def __init__(self, bundle: Bundle, *, by_threshold: bool = False) -> None:
        self._segmentation = SegmentationManifest.of(bundle.manifest, "TorchEngine")
        super().__init__(self._segmentation)
        config = DetectorConfig.from_dict(bundle.manifest.model.config)
        self._bundle = bundle
        with refusals_of(bundle):
            detector = load_detector(config, bundle.weights_path, ignore_prefix=GRAPH_PREFIX)
            self._graph = FrameGraph(detector, _options(self._segmentation)).eval()
        self._by_threshold = by_threshold
        if by_threshold:
            _select_by_threshold(detector)

    @property
    def graph(self) -> FrameGraph:
        """The module that runs, for measurements inside it."""
        return self._graph

    def open_stream(self) -> HostStream:
        """A new stream with empty state; no weights are copied."""
        return HostStream(self._manifest, self._run_graph, static=not self._by_threshold)

    def selection_scores(self, inputs: Mapping[str, Array], state: StreamState) -> dict[str, Array]:
        """How the selection points score the tokens of a frame, which the graphs do not put out.

        Args:
            inputs: the frame's inputs, as for `EngineStream.run`.
            state: the stream's state before the frame.

        Returns:
            Scores `[N]` in [0, 1] of each selection point that is active, by name, in the order of the blocks.
        """
        feed = {name: torch.from_numpy(array) for name, array in inputs.items()}
        noise = feed.get("selection_noise")
        tensors = [torch.from_numpy(state.tensors[spec.name]) for spec in self._manifest.state if state.tensors]
        with torch.inference_mode():
            selections = self._graph.detector.backbone(
                self._graph.normalise(feed["frame"], feed["content_size"]).unsqueeze(0),
                BackboneState(*(tensor.unsqueeze(0) for tensor in tensors)) if tensors else None,
                noise=None if noise is None else noise.unsqueeze(1),
            ).selections
        return {selection.name: selection.scores[0].numpy() for selection in selections}

    def rerun(
        self,
        inputs: Mapping[str, Array],
        state: StreamState,
        *,
        matches: Mapping[int, int],
        masks: Collection[tuple[int, int, int]],
        match_margin: float,
        mask_margin: float,
    ) -> Rerun:
        """A frame once more, outside any stream, with some of its yes-or-no decisions flipped.

        It hooks the shared modules while it runs: no stream of this engine may run at the same time.

        Args:
            inputs: the frame's inputs, as for `EngineStream.run`.
            state: the stream's state before the frame.
            matches: for some current tokens, the row of the previous frame that they shall match.
            masks: (layer, query, place on the layer's map) of attention mask decisions to flip.
            match_margin: how far a token's second-best match may be behind, relative to the best one, to be reported.
            mask_margin: how close to 0 a mask logit must be for its decision to be reported.
        """
        detector = self._graph.detector
        close_matches: list[tuple[int, int, float]] = []
        close_masks: list[tuple[int, int, int, float]] = []
        layers = count()

        def match(_: nn.Module, arguments: tuple[Any, ...], source: Tensor) -> Tensor:
            tokens, reference, positions, grid = arguments
            close_matches.extend(_close_matches(tokens, reference, positions, grid, match_margin))
            flipped = source.clone()
            for token, row in matches.items():
                flipped[0, token] = row
            return flipped

        def mask(_: nn.Module, arguments: tuple[Tensor]) -> tuple[Tensor]:
            layer, logits = next(layers), arguments[0].clone()
            queries, places = torch.nonzero(logits[0].abs() <= mask_margin, as_tuple=True)
            values = logits[0, queries, places].tolist()
            close_masks.extend(zip(repeat(layer), queries.tolist(), places.tolist(), values, strict=False))
            for flipped_layer, query, place in masks:
                if flipped_layer == layer:
                    logits[0, query, place] = 1.0 if logits[0, query, place] < 0 else -1.0
            return (logits,)

        stream = self.open_stream()
        stream.restore(state)
        with ExitStack() as hooks:
            hooks.callback(detector.panoptic_head.attention_mask.register_forward_pre_hook(mask).remove)
            if not detector.config.keep.is_dense:
                association = cast("Interaction", detector.backbone.interactions[0]).matching_module.association
                hooks.callback(association.register_forward_hook(match).remove)
            outputs = stream.run(inputs)
        return Rerun(outputs, stream.snapshot().tensors, close_matches, close_masks)

    def _run_graph(self, phase: GraphRole, names: Sequence[str], feed: Mapping[str, Array]) -> list[Array]:
        arguments: dict[str, Any] = {name: torch.from_numpy(array) for name, array in feed.items()}
        state = [arguments.pop(spec.input) for spec in self._manifest.state if spec.input in arguments]
        with torch.inference_mode(), refusals_of(self._bundle):
            output = self._graph(**arguments, state=BackboneState(*state) if state else None)
        kept = [point.output for point in self._segmentation.pruning_points if phase in point.phases]
        values = output._asdict() | dict(zip(kept, output.kept, strict=True))
        if output.state is not None:
            values |= dict(zip((spec.output for spec in self._manifest.state), output.state, strict=True))
        return [values[name].numpy() for name in names]


def open_reference(bundle: Bundle, selection: str) -> TorchEngine:
    """See `vpp_deploy.families.open_reference`."""
    return TorchEngine(bundle, by_threshold=selection == "threshold")


def _close_matches(
    tokens: Tensor, reference: Tensor, positions: Tensor, grid: tuple[int, int], margin: float
) -> Iterator[tuple[int, int, float]]:
    similarity = token_similarity(tokens, reference, positions, grid)[0]
    if similarity.shape[1] < 2:
        return
    best, rows = similarity.topk(2, dim=-1)
    gaps = best[:, 0] - best[:, 1]
    for token in torch.nonzero(gaps <= margin * best[:, 0].abs())[:, 0].tolist():
        chosen = similarity[token].argmax()  # of two equal ones, topk may name either first
        runner_up = rows[token, 1] if rows[token, 0] == chosen else rows[token, 0]
        yield token, int(runner_up), float(gaps[token])


def _options(manifest: SegmentationManifest) -> GraphOptions:
    return GraphOptions(
        frame_size=manifest.frame_size,
        max_tracks=manifest.detection.max_tracks,
        max_detections=manifest.detection.max_detections,
        new_score=manifest.tracker.new_score,
        track_score=manifest.tracker.track_score,
        selection_noise=any(tensor.name == "selection_noise" for tensor in manifest.graphs["step"].inputs),
    )


def _select_by_threshold(detector: VppDetector) -> None:
    """Have a `VppDetector` select by threshold from now on; the graph that calls it knows only the exported way."""

    def choose(_: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, Any]:
        return arguments, named | {"mode": "threshold"}

    def fill(_: Any, arguments: tuple[Any, ...], output: BackboneOutput) -> BackboneOutput:
        """After a frame that kept nothing there is no map selection: all tokens are active. Report that as one."""
        state = arguments[1]
        if state is None or state.positions.shape[1] or detector.config.keep.is_dense:
            return output
        scores = output.selections[0].scores.new_ones(output.selections[0].scores.shape)
        positions = scores.nonzero()[:, 1].unsqueeze(0).to(state.positions.dtype)
        return output._replace(selections=(Selection("map_selection", positions, scores), *output.selections))

    detector.register_forward_pre_hook(choose, with_kwargs=True)
    detector.backbone.register_forward_hook(fill)
