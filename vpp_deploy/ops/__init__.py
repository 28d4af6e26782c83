"""The `vpp::` domain ops: one file per op family with its reference, symbol, portable body and lowerings."""

from vpp_deploy.ops.associate_tokens import associate_tokens
from vpp_deploy.ops.base import DOMAIN, OPSET, OpDefinition
from vpp_deploy.ops.deformable_attention import deformable_attention
from vpp_deploy.ops.gather_scatter import gather_tokens, scatter_tokens
from vpp_deploy.ops.merge_tokens import match_tokens, merge_tokens, mergeable
from vpp_deploy.ops.registry import (
    OPS,
    PLUGIN_NAMESPACES,
    STANDARD_DOMAINS,
    PluginForm,
    attach_portable_functions,
    lower,
    op_name,
    strip_functions,
    undeclared,
    vpp_nodes,
)
from vpp_deploy.ops.select_tokens import select_tokens

__all__ = [
    "DOMAIN",
    "OPS",
    "OPSET",
    "PLUGIN_NAMESPACES",
    "STANDARD_DOMAINS",
    "OpDefinition",
    "PluginForm",
    "associate_tokens",
    "attach_portable_functions",
    "deformable_attention",
    "gather_tokens",
    "lower",
    "match_tokens",
    "merge_tokens",
    "mergeable",
    "op_name",
    "scatter_tokens",
    "select_tokens",
    "strip_functions",
    "undeclared",
    "vpp_nodes",
]
