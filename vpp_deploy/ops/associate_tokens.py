"""AssociateTokens: for each current token the previous token that resembles it most (VPP, mapping module, step 1-2)."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from vpp_deploy.ops.base import Body, NodeSignature, OpDefinition, emit_symbol, exporting

if TYPE_CHECKING:
    import torch


def associate_tokens(
    queries: torch.Tensor, keys: torch.Tensor, key_positions: torch.Tensor, grid: tuple[int, int]
) -> torch.Tensor:
    """Index of the key with the highest similarity, `Phi = q·kᵀ + Phi_dist`; ties go to the lower index.

    `Phi_dist = log10(10·(2 - d)/2 + 1e-6)` with d the Manhattan distance between the two tokens' places on a grid
    whose rows and columns both span [0, 1].

    Args:
        queries: `[B, N, C]`, N = rows · columns, row-major.
        keys: `[B, K, C]`.
        key_positions: `[B, K]` int32 row-major grid positions of the keys.
        grid: rows and columns.

    Returns:
        `[B, N]` int32 indices into the keys, in [0, K).
    """
    import torch

    if exporting():
        rows, columns = grid
        attributes = {"rows": rows, "columns": columns}
        inputs = (queries, keys, key_positions)
        return emit_symbol("AssociateTokens", inputs, attributes, torch.int32, queries.shape[:2])
    similarity = token_similarity(queries, keys, key_positions, grid)
    return similarity.argmax(dim=-1).to(torch.int32)  # torch documents: the first of several maxima


def token_similarity(
    queries: torch.Tensor, keys: torch.Tensor, key_positions: torch.Tensor, grid: tuple[int, int]
) -> torch.Tensor:
    """`Phi` between all queries and keys, `[B, N, K]`; arguments as in `associate_tokens`."""
    import torch

    rows, columns = grid
    x = torch.linspace(0, 1, columns, device=queries.device).repeat(rows)
    y = torch.linspace(0, 1, rows, device=queries.device).repeat_interleave(columns)
    positions = key_positions.long()
    distance = (x[:, None] - x[positions][:, None, :]).abs() + (y[:, None] - y[positions][:, None, :]).abs()
    bias = torch.log10(10.0 * (2.0 - distance) / 2.0 + 1e-6)
    return queries @ keys.transpose(1, 2) + bias.to(queries.dtype)


def positional_bias(rows: int, columns: int) -> npt.NDArray[np.float32]:
    """`Phi_dist` between all pairs of grid places, `[N, N]` float32, symmetric, in [-6, 1]."""
    x = np.tile(np.linspace(0, 1, columns, dtype=np.float32), rows)
    y = np.repeat(np.linspace(0, 1, rows, dtype=np.float32), columns)
    distance = np.abs(x[:, None] - x) + np.abs(y[:, None] - y)
    closeness = np.float32(10) * (np.float32(2) - distance) / np.float32(2)
    bias: npt.NDArray[np.float32] = np.log10(closeness + np.float32(1e-6))
    return bias


_PORTABLE = """
    zero = Constant <value_int = 0> ()
    one = Constant <value_int = 1> ()
    rows = Constant <value_int: int = @rows> ()
    columns = Constant <value_int: int = @columns> ()
    length = Mul (rows, columns)
    place = Range (zero, length, one)
    place_y = Div (place, columns)
    place_row = Mul (place_y, columns)
    place_x = Sub (place, place_row)
    key64 = Cast <to = 7> (key_positions)
    key_y = Div (key64, columns)
    key_row = Mul (key_y, columns)
    key_x = Sub (key64, key_row)
    last_row = Sub (rows, one)
    last_column = Sub (columns, one)
    row_steps = Max (last_row, one)
    column_steps = Max (last_column, one)
    row_count = Cast <to = 1> (row_steps)
    column_count = Cast <to = 1> (column_steps)
    query_shape = Constant <value_ints = [1, -1, 1]> ()
    key_axis = Constant <value_ints = [1]> ()
    place_x_float = Cast <to = 1> (place_x)
    place_y_float = Cast <to = 1> (place_y)
    key_x_float = Cast <to = 1> (key_x)
    key_y_float = Cast <to = 1> (key_y)
    place_x_unit = Div (place_x_float, column_count)
    place_y_unit = Div (place_y_float, row_count)
    key_x_unit = Div (key_x_float, column_count)
    key_y_unit = Div (key_y_float, row_count)
    query_x = Reshape (place_x_unit, query_shape)
    query_y = Reshape (place_y_unit, query_shape)
    key_x_row = Unsqueeze (key_x_unit, key_axis)
    key_y_row = Unsqueeze (key_y_unit, key_axis)
    difference_x = Sub (query_x, key_x_row)
    difference_y = Sub (query_y, key_y_row)
    distance_x = Abs (difference_x)
    distance_y = Abs (difference_y)
    distance = Add (distance_x, distance_y)
    two = Constant <value_float = 2.0> ()
    five = Constant <value_float = 5.0> ()
    epsilon = Constant <value_float = 0.000001> ()
    ln10 = Constant <value_float = 2.302585092994046> ()
    closeness = Sub (two, distance)
    scaled = Mul (closeness, five)
    shifted = Add (scaled, epsilon)
    logarithm = Log (shifted)
    bias = Div (logarithm, ln10)
    keys_transposed = Transpose <perm = [0, 2, 1]> (keys)
    product = MatMul (queries, keys_transposed)
    similarity = Add (product, bias)
    best = ArgMax <axis = -1, keepdims = 0> (similarity)
    source = Cast <to = 6> (best)
"""


_MOST_PLACES: Final = 10_000
"""Grid places for which a table is made, of 400 MB then."""


def _with_bias_table(signature: NodeSignature) -> Body | None:
    """Batch 1: the positional term is a row gather from a constant `[N, N]` table instead of eight passes over N·K."""
    if signature.input_shapes[0][0] != 1 or signature.input_shapes[0][1] > _MOST_PLACES:
        return None
    table = positional_bias(signature.attributes["rows"], signature.attributes["columns"])
    text = """
        zero = Constant <value_ints = [0]> ()
        places = Squeeze (key_positions, zero)
        bias_keys = Gather <axis = 0> (bias_table, places)
        bias = Transpose <perm = [1, 0]> (bias_keys)
        keys_transposed = Transpose <perm = [0, 2, 1]> (keys)
        product = MatMul (queries, keys_transposed)
        similarity = Add (product, bias)
        best = ArgMax <axis = -1, keepdims = 0> (similarity)
        source = Cast <to = 6> (best)
    """
    return Body(text, {"bias_table": table})


_BLOCKS: Final = 528
"""How many blocks keep every processor of a large GPU (132 of them, on an H100) busy: four on each."""


def _in_two_plugins(signature: NodeSignature) -> Body:
    """TensorRT's embedded plugins have no workspace: where parts of the keys meet is a tensor between two plugins."""
    batch, n, _ = signature.input_shapes[0]
    keys = signature.input_shapes[1][1]
    parts = min(ceil(keys / 64), ceil(_BLOCKS / (batch * ceil(n / 64))))
    rows, columns = signature.attributes["rows"], signature.attributes["columns"]
    identity = 'plugin_version = "1", plugin_namespace = "vpp", aot = 1'
    return Body(f"""
        candidates = vpp.VppAssociateParts <rows = {rows}, columns = {columns}, parts = {parts}, {identity}>
            (queries, keys, key_positions)
        source = vpp.VppAssociateBest <{identity}> (candidates)
    """)


ASSOCIATE_TOKENS = OpDefinition(
    name="AssociateTokens",
    inputs=("queries", "keys", "key_positions"),
    shapes=("BNC", "BKC", "BK"),
    output="source",
    attributes=("rows", "columns"),
    moves_values=False,
    decides=False,  # on similarities of its own
    portable=Body(_PORTABLE),
    lowerings={"onnxruntime": _with_bias_table, "embedded": _in_two_plugins},
    plugin="VppAssociateTokens",
    fits=lambda lengths, attributes: attributes["rows"] * attributes["columns"] == lengths["N"],
)
