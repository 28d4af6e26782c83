"""SelectTokens: the positions of the K best-scored tokens (static-K token selection)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vpp_deploy.ops.base import Body, NodeSignature, OpDefinition, emit_symbol, exporting

if TYPE_CHECKING:
    import torch

_LOWEST = "-3.4028234663852886e38"


def select_tokens(
    scores: torch.Tensor, k: int, active: torch.Tensor | None = None, by_position: bool = True
) -> torch.Tensor:
    """Select the `k` highest scores among the active tokens; ties go to the lower position.

    Args:
        scores: `[B, N]` float.
        k: how many to select, 1 <= k <= N. If fewer than `k` tokens are active, inactive ones fill up, lowest
            positions first.
        active: `[B, N]` bool, the tokens that may be selected; None means all.
        by_position: True gives ascending positions; False gives descending scores (token merging needs that order).

    Returns:
        `[B, K]` int32 positions.
    """
    import torch

    if active is None:
        active = torch.ones_like(scores, dtype=torch.bool)
    if exporting():
        attributes = {"k": k, "by_position": int(by_position)}
        return emit_symbol("SelectTokens", (scores, active), attributes, torch.int32, (scores.shape[0], k))
    masked = torch.where(active, scores, torch.finfo(scores.dtype).min)
    ranked = masked.sort(dim=-1, descending=True, stable=True).indices[:, :k]
    return (ranked.sort(dim=-1).values if by_position else ranked).to(torch.int32)


def _lowered(signature: NodeSignature) -> Body:
    """TopK twice; the second one sorts positions as floats (exact below 2^24), which every TensorRT accepts."""
    k = signature.attributes["k"]
    ranked = f"""
        lowest = Constant <value_float = {_LOWEST}> ()
        masked = Where (active, scores, lowest)
        k = Constant <value_ints = [{k}]> ()
        values, ranked = TopK <axis = -1, largest = 1, sorted = 1> (masked, k)
    """
    if not signature.attributes["by_position"]:
        return Body(f"{ranked}\n indices = Cast <to = 6> (ranked)")
    return Body(f"""{ranked}
        ranked_float = Cast <to = 1> (ranked)
        sorted, order = TopK <axis = -1, largest = 0, sorted = 1> (ranked_float, k)
        indices = Cast <to = 6> (sorted)
    """)


SELECT_TOKENS = OpDefinition(
    name="SelectTokens",
    inputs=("scores", "active"),
    shapes=("BN", "BN"),
    output="indices",
    attributes=("k", "by_position"),
    moves_values=True,
    decides=True,
    portable=Body(f"""
        lowest = Constant <value_float = {_LOWEST}> ()
        masked = Where (active, scores, lowest)
        k_scalar = Constant <value_int: int = @k> ()
        one = Constant <value_ints = [1]> ()
        k_vector = Reshape (k_scalar, one)
        values, ranked = TopK <axis = -1, largest = 1, sorted = 1> (masked, k_vector)
        sorted, order = TopK <axis = -1, largest = 0, sorted = 1> (ranked, k_vector)
        flag = Constant <value_int: int = @by_position> ()
        by_position = Cast <to = 9> (flag)
        chosen = Where (by_position, sorted, ranked)
        indices = Cast <to = 6> (chosen)
    """),
    lowerings={"onnxruntime": _lowered, "openvino": _lowered, "tensorrt": _lowered},
    plugin="VppSelectTokens",
    fits=lambda lengths, attributes: 0 < attributes["k"] <= lengths["N"],
)
