"""What a trace switches off is on again afterwards."""

from __future__ import annotations

import gc

import pytest
import torch
from onnxscript.rewriter.rules.common import slice_split_rule
from torch import nn

from vpp_deploy.errors import ExportError
from vpp_deploy.exporters.signature import GraphSignature, tensor_spec
from vpp_deploy.exporters.trace import trace

SEEN: list[tuple[bool, bool]] = []
"""Whether garbage is collected and the rule replaced; the exporter would restore an attribute of the module."""


class Untraceable(nn.Module):
    """Notes what is switched off, and cannot be traced."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        SEEN.append((gc.isenabled(), "try_rewrite" in vars(slice_split_rule)))
        raise RuntimeError("no way")


@pytest.mark.parametrize("collecting", [True, False])
def test_a_failed_trace_leaves_everything_as_it_was(collecting: bool) -> None:
    SEEN.clear()
    example = torch.zeros(1, 2)
    signed = GraphSignature("model", (tensor_spec("x", example),), (tensor_spec("y", example),), (), (example,))
    before = gc.isenabled()
    (gc.enable if collecting else gc.disable)()
    try:
        with pytest.raises(ExportError, match="no way"):
            trace(Untraceable(), signed, "nothing", "module")
        assert set(SEEN) == {(False, True)}
        assert gc.isenabled() is collecting
        assert "try_rewrite" not in vars(slice_split_rule)
    finally:
        (gc.enable if before else gc.disable)()
