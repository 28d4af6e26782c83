"""Bisection: parts of a graph are built for the backend and fed with the truth, until what differs is one op."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Literal

import numpy as np

from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.engines import build_engine
from vpp_deploy.engines.protocols import Array
from vpp_deploy.parity.locating.graph import CutGraph
from vpp_deploy.parity.locating.recording import Feed

Kind = Literal["NaN", "decision", "precision", "wrong"]
_SHARES: Final[Mapping[str, float]] = {"float32": 1e-4, "float16": 2e-2, "bfloat16": 1e-1, "int8": 2e-1, "fp8": 3e-1}
"""What a part may differ by, relative to the largest value of the tensor, by the bundle's precision."""
_STILL_PRECISION: Final = 0.05
"""The largest relative difference that fewer digits explain."""


@dataclass(frozen=True, slots=True)
class Difference:
    """How an output of an engine differs from what the graph means.

    Attributes:
        tensor: its name.
        kind: `NaN`: not a number where there should be one. `decision`: a whole number or a truth value is another one.
            `precision`: as much as fewer digits would give. `wrong`: more than that.
        amount: relative to the largest value of the tensor; of a decision, the share of elements.
    """

    tensor: str
    kind: Kind
    amount: float


@dataclass(frozen=True, slots=True)
class Located:
    """Where an engine begins to differ.

    Attributes:
        role: of the graph.
        module: path of the PyTorch module; of several, what they have in common.
        ops: the ops of the part that differs, as a rule one, by name.
        difference: of its output, given the right inputs. None: no part differs by more than its share, so the
            difference is the sum of many.
        builds: engines that were built.
    """

    role: str
    module: str
    ops: tuple[str, ...]
    difference: Difference | None
    builds: int

    def __str__(self) -> str:
        if self.difference is None:
            return f"{self.role} graph: no part differs by more than its share; rounding adds up over all of them"
        found = {
            "NaN": "gives NaN or infinity",
            "decision": f"decides otherwise for {self.difference.amount:.2%} of its elements",
            "precision": f"has fewer digits than it should (off by {self.difference.amount:.1e} of the largest value)",
            "wrong": f"computes something else (off by {self.difference.amount:.2g} of the largest value)",
        }[self.difference.kind]
        return f"{self.role} graph, module {self.module or '(top)'}: {', '.join(self.ops)} {found}"


def locate(
    bundle: Bundle,
    backend: str,
    feeds: Sequence[Feed],
    progress: Callable[[str], None] = lambda step: None,
) -> Located | None:
    """Find the first part of a bundle's graph that a backend computes wrongly.

    Parts of the graph are built for the backend, each fed with what the graph means up to there; their number grows
    with the logarithm of the graph's length. Build options are the backend's own.

    Args:
        bundle: the bundle.
        backend: whose engines.
        feeds: runs of the reference, of which the one that differs most is looked into.
        progress: gets what is done, in words.

    Returns:
        None if the backend computes the graphs as they stand on all of them: what differs from PyTorch is in the graph.

    Raises:
        BuildError, DependencyError, DeviceError, PluginError: a part cannot be built or run.
        OutputError: there is no room for it.
    """
    with TemporaryDirectory(prefix="vpp-deploy-locate-") as folder:
        searches: dict[str, _Search] = {}
        worst: tuple[float, _Search, Feed] | None = None
        for number, feed in enumerate(feeds, 1):
            progress(f"looking for the frame that differs most: {number} of {len(feeds)}")
            if feed.role not in searches:
                place = Path(folder) / feed.role
                place.mkdir()
                searches[feed.role] = _Search(CutGraph(bundle, feed.role, place), backend, bundle.manifest.precision)
            search = searches[feed.role]
            rank = search.rank(0, len(search.graph.nodes), feed)
            if worst is None or rank > worst[0]:
                worst = rank, search, feed
        if worst is None:
            return None
        rank, search, feed = worst
        found = search.bisect(feed, progress)
        return found if found.difference or rank > search.share else None


class _Search:
    def __init__(self, graph: CutGraph, backend: str, precision: str) -> None:
        self.graph, self.share = graph, _SHARES.get(precision, _SHARES["float32"])
        self._backend = backend
        self._engines: dict[tuple[int, int], Callable[[Feed], tuple[dict[str, Array], dict[str, Array]]]] = {}

    def bisect(self, feed: Feed, progress: Callable[[str], None]) -> Located:
        cuts = self.graph.cuts
        low, high = 0, len(cuts) - 1
        while high - low > 1:
            middle = (low + high) // 2
            progress(f"{cuts[high] - cuts[low]} ops left, {len(self._engines)} engines built")
            if self._begins_before(cuts[low], cuts[middle], cuts[high], feed):
                high = middle
            else:
                low = middle
        begin, end = cuts[low], cuts[high]
        nodes = self.graph.nodes[begin:end]
        module = _in_common([node.name.rpartition("/")[0] for node in nodes])
        ops = tuple(node.name.rpartition("/")[2] or node.op_type for node in nodes)
        worst = self._difference(begin, end, feed)
        found = worst if worst and _rank(worst) > self.share else None
        return Located(feed.role, module, ops, found, len(self._engines))

    def rank(self, begin: int, end: int, feed: Feed) -> float:
        """How much a part differs, given what the graph means before it."""
        worst = self._difference(begin, end, feed)
        return _rank(worst) if worst else 0.0

    def _begins_before(self, begin: int, middle: int, end: int, feed: Feed) -> bool:
        """In which half to go on: the first that exceeds its share, else where more is left after what follows."""
        first = self.rank(begin, middle, feed)
        return first > self.share or first >= self.rank(middle, end, feed)

    def _difference(self, begin: int, end: int, feed: Feed) -> Difference | None:
        if (begin, end) not in self._engines:
            self._engines[begin, end] = self._built(begin, end)
        truth, found = self._engines[begin, end](feed)
        different = (compare(name, expected, found[name]) for name, expected in truth.items())
        return max(filter(None, different), key=_rank, default=None)

    def _built(self, begin: int, end: int) -> Callable[[Feed], tuple[dict[str, Array], dict[str, Array]]]:
        part, inputs, outputs = self.graph.part(begin, end)
        engine = build_engine(part, self._backend)

        def run(feed: Feed) -> tuple[dict[str, Array], dict[str, Array]]:
            truth = self.graph.meaning([*inputs, *outputs], feed.inputs)
            found = engine.open_stream().run({name: np.ascontiguousarray(truth[name]) for name in inputs})
            return {name: truth[name] for name in outputs}, found

        return run


def compare(name: str, expected: Array, found: Array) -> Difference | None:
    """How a tensor differs from what it should be; None if it does not.

    Args:
        name: of the tensor.
        expected: what it should be.
        found: of the same shape and type.
    """
    if not np.issubdtype(expected.dtype, np.floating):
        others = float(np.mean(expected != found))
        return Difference(name, "decision", others) if others else None
    usual = np.isfinite(expected)
    if not np.isfinite(found[usual]).all():
        return Difference(name, "NaN", float(np.mean(~np.isfinite(found))))
    wanted, given = expected[usual].astype(np.float64), found[usual].astype(np.float64)
    scale = float(np.abs(wanted).max(initial=0.0)) or 1.0
    amount = float(np.abs(wanted - given).max(initial=0.0)) / scale
    return Difference(name, "precision" if amount <= _STILL_PRECISION else "wrong", amount) if amount else None


def _in_common(paths: Sequence[str]) -> str:
    """The path of the innermost module that holds all."""
    parts = [path.replace("/", ".").split(".") for path in paths]
    return ".".join(names[0] for names in takewhile(lambda names: len(set(names)) == 1, zip(*parts, strict=False)))


def _rank(difference: Difference) -> float:
    """Whatever is another decision counts more than rounding does."""
    return {"NaN": float("inf"), "decision": 1 + difference.amount}.get(difference.kind, difference.amount)
