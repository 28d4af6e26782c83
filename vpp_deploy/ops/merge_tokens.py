"""MatchTokens and MergeTokens: similar tokens become one (ToMe's bipartite soft matching, Bolya et al., ICLR 2023)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vpp_deploy.ops.base import Body, OpDefinition, emit_symbol, exporting

if TYPE_CHECKING:
    import torch

_LOWEST = "-3.4028234663852886e38"


def mergeable(length: int, r: int, prefix: int = 0) -> int:
    """How many tokens a request to merge `r` of `length` really merges: at most half of those after the prefix."""
    return min(r, (length - prefix) // 2)


def match_tokens(metric: torch.Tensor, r: int, prefix: int = 0) -> torch.Tensor:
    """Where each token goes when `r` of them are merged into others.

    Tokens at even positions (A) each look for the most similar one at an odd position (B, cosine similarity); the `r`
    tokens of A that found the most similar partners are merged into them. Rows of the result: first the prefix; then
    the unmerged tokens of A, by position if there is a prefix, else by descending similarity; then B by position. Ties
    go to the lower position.

    Args:
        metric: `[B, N, C]`, what similarity is measured on.
        r: tokens to merge; clipped to `mergeable`. With 0 every token keeps its row.
        prefix: 1: position 0 is a class token; 2: and position 1 a distillation token. They take no part in merging.

    Returns:
        `[B, N]` int32: the row in [0, N - r) of each token.
    """
    import torch
    from torch.nn import functional as F

    batch, length, _ = metric.shape
    r = mergeable(length, r, prefix)
    if r <= 0:
        return torch.arange(length, dtype=torch.int32, device=metric.device).expand(batch, -1)
    if exporting():
        return emit_symbol("MatchTokens", (metric,), {"r": r, "prefix": prefix}, torch.int32, (batch, length))
    unit = F.normalize(metric, dim=-1)
    similarity = unit[:, ::2] @ unit[:, 1::2].transpose(1, 2)
    lowest = torch.finfo(similarity.dtype).min
    if prefix > 0:
        similarity[:, 0] = lowest
    if prefix > 1:
        similarity[:, :, 0] = lowest
    best, partner = similarity.max(dim=-1)
    rank = best.argsort(dim=-1, descending=True, stable=True).argsort(dim=-1)
    merged = rank < r
    own_row = (~merged).cumsum(-1) - 1 if prefix else rank - r
    unmerged = best.shape[1] - r
    odd_row = unmerged + torch.arange(length // 2, device=metric.device)
    if prefix > 1:  # the distillation token comes second
        own_row = torch.where(own_row > 0, own_row + 1, own_row)
        odd_row[0] = 1
    rows = torch.empty(batch, length, dtype=torch.int32, device=metric.device)
    rows[:, ::2] = torch.where(merged, unmerged + partner, own_row).to(torch.int32)
    rows[:, 1::2] = odd_row.to(torch.int32)
    return rows


def merge_tokens(tokens: torch.Tensor, rows: torch.Tensor, count: int) -> torch.Tensor:
    """Sums of the tokens that share a row.

    Args:
        tokens: `[B, N, C]`.
        rows: `[B, N]` int32 in [0, count).
        count: number of rows.

    Returns:
        `[B, count, C]`; a row that no token goes to is zero.
    """
    batch, _, channels = tokens.shape
    if exporting():
        return emit_symbol("MergeTokens", (tokens, rows), {"count": count}, tokens.dtype, (batch, count, channels))
    return tokens.new_zeros(batch, count, channels).scatter_add(
        1, rows.long().unsqueeze(-1).expand(-1, -1, channels), tokens
    )


MATCH_TOKENS = OpDefinition(
    name="MatchTokens",
    inputs=("metric",),
    shapes=("BNC",),
    output="rows",
    attributes=("r", "prefix"),
    moves_values=False,
    decides=False,  # on similarities of its own
    portable=Body(f"""
        zero = Constant <value_int = 0> ()
        one = Constant <value_int = 1> ()
        two = Constant <value_int = 2> ()
        first = Constant <value_ints = [0]> ()
        second = Constant <value_ints = [1]> ()
        step = Constant <value_ints = [2]> ()
        end = Constant <value_ints = [9223372036854775807]> ()
        last = Constant <value_ints = [-1]> ()
        tiny = Constant <value_float = 1e-12> ()
        lowest = Constant <value_float = {_LOWEST}> ()
        r = Constant <value_int: int = @r> ()
        prefix = Constant <value_int: int = @prefix> ()
        has_class = Greater (prefix, zero)
        has_distillation = Greater (prefix, one)
        norm = ReduceL2 <keepdims = 1> (metric, last)
        safe_norm = Max (norm, tiny)
        unit = Div (metric, safe_norm)
        even = Slice (unit, first, end, second, step)
        odd = Slice (unit, second, end, second, step)
        odd_transposed = Transpose <perm = [0, 2, 1]> (odd)
        all_pairs = MatMul (even, odd_transposed)
        even_vector = Shape <start = 1, end = 2> (even)
        odd_vector = Shape <start = 1, end = 2> (odd)
        even_count = Squeeze (even_vector)
        odd_count = Squeeze (odd_vector)
        even_place = Range (zero, even_count, one)
        odd_place = Range (zero, odd_count, one)
        even_column = Unsqueeze (even_place, last)
        is_first_even = Equal (even_column, zero)
        is_first_odd = Equal (odd_place, zero)
        is_class = And (is_first_even, has_class)
        is_distillation = And (is_first_odd, has_distillation)
        forbidden = Or (is_class, is_distillation)
        similarity = Where (forbidden, lowest, all_pairs)
        best = ReduceMax <keepdims = 0> (similarity, last)
        partner = ArgMax <axis = -1, keepdims = 0> (similarity)
        sorted, order = TopK <axis = -1, largest = 1, sorted = 1> (best, even_vector)
        order_float = Cast <to = 1> (order)
        positions, rank = TopK <axis = -1, largest = 0, sorted = 1> (order_float, even_vector)
        merged = Less (rank, r)
        unmerged_flag = Not (merged)
        unmerged_one = Cast <to = 7> (unmerged_flag)
        row_by_count = CumSum (unmerged_one, one)
        row_by_position = Sub (row_by_count, one)
        row_by_rank = Sub (rank, r)
        unshifted_row = Where (has_class, row_by_position, row_by_rank)
        shifted_row = Add (unshifted_row, one)
        not_first = Greater (unshifted_row, zero)
        shifts = And (not_first, has_distillation)
        own_row = Where (shifts, shifted_row, unshifted_row)
        unmerged_count = Sub (even_count, r)
        partner_row = Add (partner, unmerged_count)
        even_rows = Where (merged, partner_row, own_row)
        unprotected_row = Add (odd_place, unmerged_count)
        odd_row = Where (is_distillation, one, unprotected_row)
        batch_vector = Shape <start = 0, end = 1> (metric)
        odd_shape = Concat <axis = 0> (batch_vector, odd_vector)
        odd_rows = Expand (odd_row, odd_shape)
        by_side = Concat <axis = 1> (even_rows, odd_rows)
        length = Add (even_count, odd_count)
        place = Range (zero, length, one)
        half = Div (place, two)
        doubled = Mul (half, two)
        side = Sub (place, doubled)
        side_start = Mul (side, even_count)
        interleaving = Add (half, side_start)
        interleaved = Gather <axis = 1> (by_side, interleaving)
        rows = Cast <to = 6> (interleaved)
    """),
    fits=lambda lengths, attributes: attributes["prefix"] <= 2 and 2 * attributes["r"] <= lengths["N"],
)

MERGE_TOKENS = OpDefinition(
    name="MergeTokens",
    inputs=("tokens", "rows"),
    shapes=("BNC", "BN"),
    output="merged",
    attributes=("count",),
    moves_values=False,
    decides=False,
    # A product with a 0/1 matrix: every backend has it, and it is small beside a transformer block.
    portable=Body("""
        zero = Constant <value_int = 0> ()
        one = Constant <value_int = 1> ()
        middle = Constant <value_ints = [1]> ()
        last = Constant <value_ints = [-1]> ()
        count = Constant <value_int: int = @count> ()
        row = Range (zero, count, one)
        row_column = Unsqueeze (row, last)
        rows64 = Cast <to = 7> (rows)
        rows_line = Unsqueeze (rows64, middle)
        goes_there = Equal (row_column, rows_line)
        membership = CastLike (goes_there, tokens)
        merged = MatMul (membership, tokens)
    """),
    fits=lambda lengths, attributes: 0 < attributes["count"] <= lengths["N"],
)
