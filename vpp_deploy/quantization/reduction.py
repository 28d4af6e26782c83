"""What a graph's products can be reduced to: the two kinds of arithmetic that the search chooses layers of."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import onnx

from vpp_deploy.bundle.manifest import GraphRole
from vpp_deploy.exporters.precision.casting import Casting
from vpp_deploy.quantization.casts import cast_by_choice
from vpp_deploy.quantization.products import Product
from vpp_deploy.quantization.qdq import QuantisedType, quantise, quantise_by_choice


class Reduction(Protocol):
    """How the products of a bundle's graphs get a smaller type, all of them or those of some groups of layers."""

    @property
    def name(self) -> str:
        """Of the precision."""

    def groups(self, role: GraphRole) -> tuple[str, ...]:
        """The groups of a graph whose products can be reduced, in its order."""

    def add_choice(self, role: GraphRole, model: onnx.ModelProto) -> None:
        """Give a graph a switch for each group; see `vpp_deploy.quantization.qdq.add_switches`."""

    def write(self, role: GraphRole, model: onnx.ModelProto, without: Collection[str]) -> int:
        """Reduce the products of a graph in place, but for those of some groups; returns how many those are."""


@dataclass(frozen=True)
class Quantising:
    """Rounded to a type with a scale: INT8, FP8.

    Attributes:
        to: the type.
        products: that can be quantised, by graph.
        ranges: of activations, by graph.
    """

    to: QuantisedType
    products: Mapping[GraphRole, Sequence[Product]]
    ranges: Mapping[GraphRole, Mapping[str, float]]

    @property
    def name(self) -> str:
        """Of the precision."""
        return self.to.name

    def groups(self, role: GraphRole) -> tuple[str, ...]:
        """See `Reduction`."""
        return tuple(dict.fromkeys(product.group for product in self.products[role]))

    def add_choice(self, role: GraphRole, model: onnx.ModelProto) -> None:
        """See `Reduction`."""
        quantise_by_choice(model, self.products[role], self.ranges[role], self.to, self.groups(role))

    def write(self, role: GraphRole, model: onnx.ModelProto, without: Collection[str]) -> int:
        """See `Reduction`."""
        chosen = [product for product in self.products[role] if product.group not in without]
        quantise(model, chosen, self.ranges[role], self.to)
        return len(chosen)


@dataclass(frozen=True)
class Casts:
    """Cast to a smaller float: float16, bfloat16.

    Attributes:
        casting: which type, and which ops.
        products: by graph, see `groups_of_products`.
    """

    casting: Casting
    products: Mapping[GraphRole, Mapping[str, str]]

    @property
    def name(self) -> str:
        """Of the precision."""
        return self.casting.name

    def groups(self, role: GraphRole) -> tuple[str, ...]:
        """See `Reduction`."""
        return tuple(dict.fromkeys(self.products[role].values()))

    def add_choice(self, role: GraphRole, model: onnx.ModelProto) -> None:
        """See `Reduction`."""
        cast_by_choice(model, self.casting.to, self.products[role])

    def write(self, role: GraphRole, model: onnx.ModelProto, without: Collection[str]) -> int:
        """See `Reduction`."""
        exempt = {output for output, group in self.products[role].items() if group in without}
        return self.casting.apply(model, without=exempt)
