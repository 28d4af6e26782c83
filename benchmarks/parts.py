"""Which part of the model a piece of work belongs to, and timers that tell the parts apart."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any
from unittest import mock

import onnx
from vpp_deploy.models import backbone, selection

from vpp_deploy.families.vpp.frame_graph import FrameGraph

PARTS = ("adapter", "ViT blocks", "selection + association", "head", "input")
"""In the order of the tables. `input`: cast, normalisation, padding mask."""

_RULES = (
    (r"(Select|Gather|Scatter|Associate)Tokens|selective_modules|matching_module", "selection + association"),
    (r"^panoptic_head", "head"),
    (r"blocks\.|patch_embed", "ViT blocks"),
    (r"^backbone", "adapter"),
)
_FINAL = re.compile(r"(Select|Gather)Tokens")


def part_of_node(name: str) -> str | None:
    """The part of a graph node by its name; None if the name does not tell."""
    if name.startswith("frame/"):
        return "head" if _FINAL.search(name) else None
    return next((part for pattern, part in _RULES if re.search(pattern, name)), None)


def onnxruntime_parts(profile: Path, engine_graph: Path) -> Counter[str]:
    """Seconds by part in an ONNX Runtime profile.

    Nodes that the runtime made itself are named after the value they produce, or not at all; the latter count to the
    part of the node that ran before them.
    """
    producers = {
        output: node.name
        for node in onnx.load(engine_graph, load_external_data=False).graph.node
        for output in node.output
    }
    seconds: Counter[str] = Counter()
    part = "input"
    for event in json.loads(profile.read_text()):
        name = event.get("name", "")
        if event.get("cat") != "Node" or not name.endswith("_kernel_time"):
            continue
        name = name.removesuffix("_kernel_time").removesuffix("_nchwc")
        if event["args"]["op_name"] == "Cast" and name.startswith("frame/"):
            part = "input"
        part = part_of_node(producers.get(name, name)) or part
        seconds[part] += event["dur"] * 1e-6
    return seconds


class PartTimer:
    """Exclusive seconds by part: time inside an inner part does not count to the outer one."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._stack: list[str] = []
        self._last = 0.0

    def enter(self, part: str) -> None:
        """Work of `part` begins."""
        self._charge()
        self._stack.append(part)

    def leave(self) -> None:
        """Work of the innermost part ends."""
        self._charge()
        self._stack.pop()

    def _charge(self) -> None:
        now = perf_counter()
        if self._stack:
            self.seconds[self._stack[-1]] += now - self._last
        self._last = now


@contextmanager
def torch_parts(graph: FrameGraph) -> Iterator[PartTimer]:
    """Times the parts of the PyTorch reference while the block runs."""
    timer = PartTimer()
    model = graph.detector
    modules = {
        graph: "input",
        model.backbone: "adapter",
        model.backbone.patch_embed: "ViT blocks",
        model.panoptic_head: "head",
    }
    modules |= dict.fromkeys(model.backbone.blocks, "ViT blocks")
    if not model.config.keep.is_dense:
        modules |= dict.fromkeys(model.backbone.selective_modules, "selection + association")
        modules[model.backbone.interactions[0].matching_module] = "selection + association"
    with ExitStack() as stack:
        for module, part in modules.items():
            for handle in (
                module.register_forward_pre_hook(lambda *_, part=part: timer.enter(part)),
                module.register_forward_hook(lambda *_: timer.leave()),
            ):
                stack.callback(handle.remove)
        for place, function in (
            (backbone, "select_tokens"),
            (backbone, "gather_tokens"),
            (backbone, "scatter_tokens"),
            (selection, "associate_tokens"),
        ):
            timed = _timed(getattr(place, function), timer)
            stack.enter_context(mock.patch.object(place, function, timed))
        yield timer


def _timed(function: Callable[..., Any], timer: PartTimer) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        timer.enter("selection + association")
        try:
            return function(*args, **kwargs)
        finally:
            timer.leave()

    return run
