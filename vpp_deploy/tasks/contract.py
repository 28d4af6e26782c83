"""What a session needs of a bundle's graphs, and of the numbers that they give: a stranger may have made both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import NoReturn

import numpy as np

from vpp_deploy.bundle.manifest import DType, GraphRole, Manifest, TensorSpec
from vpp_deploy.engines.protocols import Array
from vpp_deploy.errors import BundleError, EngineOutputError

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Contract:
    """Holds a manifest's graphs to what a session expects.

    Attributes:
        manifest: of the bundle.
        purpose: which session, for messages.
    """

    manifest: Manifest
    purpose: str

    def require(self, role: GraphRole, direction: str, name: str, dtype: DType, shape: Shape) -> None:
        """See that a graph has an input or output of this name, type and shape.

        Args:
            role: which graph.
            direction: `input` or `output`.
            name: of the tensor.
            dtype: its type.
            shape: its shape; 0 stands for any length.

        Raises:
            BundleError: it has not.
        """
        found = self.shape(role, direction, name, len(shape))
        expected = tuple(length or own for length, own in zip(shape, found, strict=True))
        spec = next(spec for spec in self._specs(role, direction) if spec.name == name)
        if spec.dtype != dtype or spec.shape != expected:
            self.refuse(role, f"has {name} as {spec.dtype} {list(spec.shape)} instead of {dtype} {list(expected)}")

    def shape(self, role: GraphRole, direction: str, name: str, rank: int) -> Shape:
        """The shape of an input or output.

        Raises:
            BundleError: there is none of this name, or it has another number of axes.
        """
        for spec in self._specs(role, direction):
            if spec.name == name and len(spec.shape) == rank:
                return spec.shape
        return self.refuse(role, f"has no {direction} {name} of {rank} axes")

    def refuse(self, role: GraphRole, problem: str) -> NoReturn:
        """Say what is wrong with a graph.

        Raises:
            BundleError: always.
        """
        raise BundleError(
            f"bundle of {self.manifest.model.name}: the {role} graph {problem}, which {self.purpose} does not run; "
            f"{self.manifest.again}"
        )

    def _specs(self, role: GraphRole, direction: str) -> tuple[TensorSpec, ...]:
        graph = self.manifest.graphs[role]
        return graph.inputs if direction == "input" else graph.outputs


def check_finite(outputs: Mapping[str, Array], engine: str, frame: object, advice: str = "") -> None:
    """See that what an engine put out are numbers.

    Args:
        outputs: by name; only those of a floating type are looked at.
        engine: the backend's name, for the message.
        frame: which frame, image or call it was, for the message.
        advice: what else can be done, for the message.

    Raises:
        EngineOutputError: one holds NaN or infinity.
    """
    for name, array in outputs.items():
        if not np.issubdtype(array.dtype, np.floating):
            continue
        with np.errstate(over="ignore", invalid="ignore"):
            total = float(array.sum(dtype=np.float32))  # quicker than to look at each, and nearly always enough
        if not isfinite(total) and (wrong := int(array.size - np.count_nonzero(np.isfinite(array)))):
            raise EngineOutputError(
                f"frame {frame}: of {name}, {wrong} of {array.size} values that the {engine} engine gives are NaN or "
                f"infinite: compare it with `vpp-deploy parity`, and look at the weights that were exported{advice}"
            )


def check_range(name: str, values: Array, limit: int, engine: str, frame: object) -> None:
    """See that the positions which an engine put out exist.

    Args:
        name: of the output.
        values: whole numbers.
        limit: how many positions there are.
        engine: the backend's name, for the message.
        frame: which frame, image or call it was, for the message.

    Raises:
        EngineOutputError: one is negative, or beyond the last.
    """
    if values.size and (values.min() < 0 or values.max() >= limit):
        wrong = int(values.min() if values.min() < 0 else values.max())
        raise EngineOutputError(
            f"frame {frame}: the {engine} engine gives {name} {wrong}, and there are {limit}: build the engine again, "
            "and compare it with `vpp-deploy parity`"
        )
