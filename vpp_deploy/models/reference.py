"""The PyTorch reference as an engine: the very module that was exported, with the bundle's own weights."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import count, repeat
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from vpp_deploy.bundle.manifest import Manifest, Phase
from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.bundle.vpp_manifest import VppManifest
from vpp_deploy.engine import Array, HostStream, StreamState
from vpp_deploy.frames import Size
from vpp_deploy.models.adapter import Interaction
from vpp_deploy.models.backbone import BackboneState
from vpp_deploy.models.checkpoint import load_detector
from vpp_deploy.models.config import DetectorConfig
from vpp_deploy.models.frame_graph import FrameGraph, GraphOptions
from vpp_deploy.ops.associate_tokens import token_similarity


class Rerun(NamedTuple):
    """A frame run once more, and the decisions in it that rounding could turn.

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


class TorchEngine:
    """The reference that every other engine is compared with. Needs PyTorch; runs on the CPU in float32.

    Args:
        bundle: rebuilt from its manifest and its weights file, not from its graphs.

    Raises:
        UsageError: the bundle is not of family `vpp`.
        CheckpointError: the weights file does not fit the configuration in the manifest.
        ConfigError: the configuration in the manifest cannot be read.
    """

    backend = "torch"
    precision = "float32"

    def __init__(self, bundle: Bundle) -> None:
        self._manifest = VppManifest.of(bundle.manifest, "TorchEngine")
        config = DetectorConfig.from_dict(bundle.manifest.model.config)
        detector = load_detector(config, bundle.weights_path, ignore_prefix="graph/")
        self._graph = FrameGraph(detector, _options(self._manifest)).eval()

    @property
    def manifest(self) -> Manifest:
        """The manifest of the bundle."""
        return self._manifest

    @property
    def frame_size(self) -> Size:
        """Height and width in pixels of the frames that the engine takes."""
        return self._manifest.frame_size

    @property
    def graph(self) -> FrameGraph:
        """The module that runs, for measurements inside it."""
        return self._graph

    def open_stream(self) -> HostStream:
        """A new stream with empty state; no weights are copied."""
        return HostStream(self._manifest, self._run_graph)

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
        """A frame once more, outside any stream, with some of its yes-or-no decisions turned.

        It hooks the shared modules while it runs: no stream of this engine may run at the same time.

        Args:
            inputs: the frame's inputs, as for `EngineStream.run`.
            state: the stream's state before the frame.
            matches: for some current tokens, the row of the previous frame that they shall match.
            masks: (layer, query, place on the layer's map) of attention mask decisions to turn.
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
            turned = source.clone()
            for token, row in matches.items():
                turned[0, token] = row
            return turned

        def mask(_: nn.Module, arguments: tuple[Tensor]) -> tuple[Tensor]:
            layer, logits = next(layers), arguments[0].clone()
            queries, places = torch.nonzero(logits[0].abs() <= mask_margin, as_tuple=True)
            values = logits[0, queries, places].tolist()
            close_masks.extend(zip(repeat(layer), queries.tolist(), places.tolist(), values, strict=False))
            for turned_layer, query, place in masks:
                if turned_layer == layer:
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

    def _run_graph(self, phase: Phase, names: Sequence[str], feed: Mapping[str, Array]) -> list[Array]:
        arguments: dict[str, Any] = {name: torch.from_numpy(array) for name, array in feed.items()}
        state = [arguments.pop(spec.input) for spec in self._manifest.state if spec.input in arguments]
        with torch.inference_mode():
            output = self._graph(**arguments, state=BackboneState(*state) if state else None)
        kept = [point.output for point in self._manifest.selection_points if phase in point.phases]
        values = output._asdict() | dict(zip(kept, output.kept, strict=True))
        if output.state is not None:
            values |= dict(zip((spec.output for spec in self._manifest.state), output.state, strict=True))
        return [values[name].numpy() for name in names]


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


def _options(manifest: VppManifest) -> GraphOptions:
    return GraphOptions(
        frame_size=manifest.frame_size,
        max_tracks=manifest.detection.max_tracks,
        max_detections=manifest.detection.max_detections,
        new_score=manifest.tracker.new_score,
        track_score=manifest.tracker.track_score,
        selection_noise=any(tensor.name == "selection_noise" for tensor in manifest.graphs["step"].inputs),
    )
