"""A traced DynamicViT computes the same, in the portable form and in those of the backends."""

from __future__ import annotations

import pytest

from tests.families.dynamicvit.test_model import CONFIG, lively
from tests.families.traced import traced
from vpp_deploy import ops


@pytest.mark.parametrize("batch", [1, 2])
def test_traced_model_computes_the_same(batch: int) -> None:
    graph = traced(lively(CONFIG), CONFIG.size, batch)
    kinds = [node.op_type for node in ops.vpp_nodes(graph)]
    assert sorted(kinds) == ["GatherTokens"] * 3 + ["ScatterTokens", "SelectTokens", "SelectTokens"]
    assert any(node.name.startswith("score_predictor/1.out_conv") for node in graph.graph.node)
