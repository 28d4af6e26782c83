"""A traced EViT computes the same, in the portable form and in those of the backends."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from tests.families.evit.test_model import CONFIG, lively
from tests.families.traced import traced
from vpp_deploy import ops


@pytest.mark.parametrize(("batch", "fuse"), [(1, True), (2, True), (2, False)])
def test_traced_model_computes_the_same(batch: int, fuse: bool) -> None:
    graph = traced(lively(replace(CONFIG, fuse=fuse)), CONFIG.size, batch)
    kinds = Counter(node.op_type for node in ops.vpp_nodes(graph))
    assert kinds == {"SelectTokens": 3, "GatherTokens": 5, "ScatterTokens": 5 if fuse else 2}
    assert any(node.name.startswith("blocks/2.attn/") for node in graph.graph.node)
