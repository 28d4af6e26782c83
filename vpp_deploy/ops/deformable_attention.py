"""DeformableAttention: weighted bilinear samples of multi-scale value maps (Deformable DETR, equation 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isqrt
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from vpp_deploy.ops.base import Body, NodeSignature, OpDefinition, emit_symbol, exporting
from vpp_deploy.ops.deformable_attention_grid_sample import as_grid_sample

if TYPE_CHECKING:
    import torch

LevelShapes = Sequence[tuple[int, int]]


def deformable_attention(
    value: torch.Tensor,
    offsets: torch.Tensor,
    weights: torch.Tensor,
    reference_points: torch.Tensor,
    level_shapes: LevelShapes,
) -> torch.Tensor:
    """Sum of bilinear samples at reference point + offset; outside a map the value is zero.

    Offsets are in pixels, level by level and (y, x), because then they are, up to a constant, what a deformable
    convolution takes; and because no backend has to undo a normalisation.

    Args:
        value: `[B, S, M, D]`, M heads of D channels; S = sum of h·w over the levels, each level row-major.
        offsets: `[B, Q, L, M, P, 2]` (y, x) in pixels of each level.
        weights: `[B, Q, M, L, P]`, softmax over L·P already taken.
        reference_points: `[Q, 2]` (y, x) normalised: a map spans [0, 1], pixel centres are at (i + 0.5) / size.
        level_shapes: (h, w) of each of the L levels.

    Returns:
        `[B, Q, M·D]`.
    """
    import torch
    from torch.nn import functional as F

    batch, _, heads, width = value.shape
    queries, points = offsets.shape[1], offsets.shape[4]
    if exporting():
        attributes = {"level_shapes": [size for shape in level_shapes for size in shape]}
        inputs = (value, offsets, weights, reference_points)
        return emit_symbol("DeformableAttention", inputs, attributes, value.dtype, (batch, queries, heads * width))
    maps = torch.split(value, [h * w for h, w in level_shapes], dim=1)
    total = value.new_zeros(batch * heads, width, queries)
    for level, (h, w) in enumerate(level_shapes):
        image = maps[level].permute(0, 2, 3, 1).reshape(batch * heads, width, h, w)
        place = reference_points[:, None, None] + offsets[:, :, level] / offsets.new_tensor([h, w])
        grid = (2 * place - 1).flip(-1).transpose(1, 2).reshape(batch * heads, queries, points, 2)
        samples = F.grid_sample(image, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        share = weights[:, :, :, level].transpose(1, 2).reshape(batch * heads, 1, queries, points)
        total = total + (samples * share).sum(-1)
    return total.reshape(batch, heads * width, queries).transpose(1, 2)


_PORTABLE = """
    zero = Constant <value_int = 0> ()
    one = Constant <value_int = 1> ()
    minus_one = Constant <value_ints = [-1]> ()
    first = Constant <value_ints = [0]> ()
    second = Constant <value_ints = [1]> ()
    third = Constant <value_ints = [2]> ()
    half = Constant <value_float = 0.5> ()
    zero_float = Constant <value_float = 0.0> ()
    one_float = Constant <value_float = 1.0> ()
    sizes = Constant <value_ints: ints = @level_shapes> ()
    pair_shape = Constant <value_ints = [-1, 2]> ()
    level_shape = Constant <value_ints = [-1, 1]> ()
    size_pairs = Reshape (sizes, pair_shape)
    h = Slice (size_pairs, first, second, second)
    w = Slice (size_pairs, second, third, second)
    areas = Mul (h, w)
    ends = CumSum (areas, zero)
    starts = Sub (ends, areas)
    h_float = Cast <to = 1> (h)
    w_float = Cast <to = 1> (w)
    starts_float = Cast <to = 1> (starts)
    last_y = Sub (h_float, one_float)
    last_x = Sub (w_float, one_float)
    offsets_by_head = Transpose <perm = [0, 1, 3, 2, 4, 5]> (offsets)
    offset_y = Gather <axis = -1> (offsets_by_head, zero)
    offset_x = Gather <axis = -1> (offsets_by_head, one)
    reference_y = Gather <axis = -1> (reference_points, zero)
    reference_x = Gather <axis = -1> (reference_points, one)
    query_shape = Constant <value_ints = [-1, 1, 1, 1]> ()
    query_y = Reshape (reference_y, query_shape)
    query_x = Reshape (reference_x, query_shape)
    scaled_y = Mul (query_y, h_float)
    scaled_x = Mul (query_x, w_float)
    centre_y = Sub (scaled_y, half)
    centre_x = Sub (scaled_x, half)
    y = Add (offset_y, centre_y)
    x = Add (offset_x, centre_x)
    x0 = Floor (x)
    y0 = Floor (y)
    fraction_x = Sub (x, x0)
    fraction_y = Sub (y, y0)
    rest_x = Sub (one_float, fraction_x)
    rest_y = Sub (one_float, fraction_y)
    x1 = Add (x0, one_float)
    y1 = Add (y0, one_float)
    x0_low = Max (x0, zero_float)
    x1_low = Max (x1, zero_float)
    y0_low = Max (y0, zero_float)
    y1_low = Max (y1, zero_float)
    x0_place = Min (x0_low, last_x)
    x1_place = Min (x1_low, last_x)
    y0_place = Min (y0_low, last_y)
    y1_place = Min (y1_low, last_y)
    x0_inside = Equal (x0, x0_place)
    x1_inside = Equal (x1, x1_place)
    y0_inside = Equal (y0, y0_place)
    y1_inside = Equal (y1, y1_place)
    left = Where (x0_inside, rest_x, zero_float)
    right = Where (x1_inside, fraction_x, zero_float)
    above = Where (y0_inside, rest_y, zero_float)
    below = Where (y1_inside, fraction_y, zero_float)
    above_weight = Mul (above, weights)
    below_weight = Mul (below, weights)
    weight00 = Mul (above_weight, left)
    weight01 = Mul (above_weight, right)
    weight10 = Mul (below_weight, left)
    weight11 = Mul (below_weight, right)
    row0_offset = Mul (y0_place, w_float)
    row1_offset = Mul (y1_place, w_float)
    row0 = Add (row0_offset, starts_float)
    row1 = Add (row1_offset, starts_float)
    index00 = Add (row0, x0_place)
    index01 = Add (row0, x1_place)
    index10 = Add (row1, x0_place)
    index11 = Add (row1, x1_place)
    index_corners = Concat <axis = -1> (index00, index01, index10, index11)
    weight_corners = Concat <axis = -1> (weight00, weight01, weight10, weight11)
    sample_shape = Constant <value_ints = [0, 0, 0, -1]> ()
    sample_index = Reshape (index_corners, sample_shape)
    sample_weight = Reshape (weight_corners, sample_shape)
    batch = Shape <start = 0, end = 1> (value)
    length = Shape <start = 1, end = 2> (value)
    heads = Shape <start = 2, end = 3> (value)
    width = Shape <start = 3, end = 4> (value)
    head_count = Squeeze (heads)
    batch_count = Squeeze (batch)
    head_range = Range (zero, head_count, one)
    batch_range = Range (zero, batch_count, one)
    batch_heads = Mul (batch_range, heads)
    batch_column = Unsqueeze (batch_heads, minus_one)
    map_number = Add (batch_column, head_range)
    map_start = Mul (map_number, length)
    start_axes = Constant <value_ints = [1, 3]> ()
    map_start_wide = Unsqueeze (map_start, start_axes)
    sample_index64 = Cast <to = 7> (sample_index)
    row_index = Add (sample_index64, map_start_wide)
    value_heads = Transpose <perm = [0, 2, 1, 3]> (value)
    rows_shape = Concat <axis = 0> (minus_one, width)
    rows = Reshape (value_heads, rows_shape)
    samples = Gather <axis = 0> (rows, row_index)
    axis3 = Constant <value_ints = [3]> ()
    weight_row = Unsqueeze (sample_weight, axis3)
    weighted = MatMul (weight_row, samples)
    merged_shape = Constant <value_ints = [0, 0, -1]> ()
    attended = Reshape (weighted, merged_shape)
"""


_MOST_QUERIES: Final = 2**24
"""For which a plane is looked for: a prime number of them takes as many steps as its root."""


def _query_plane(queries: int) -> tuple[int, int]:
    """The most nearly square (rows, columns) with rows · columns = queries."""
    rows = next(rows for rows in range(isqrt(queries), 0, -1) if queries % rows == 0)
    return rows, queries // rows


@dataclass(frozen=True)
class _Planes:
    """Sizes of the form with one depthwise `DeformConv` a level; queries lie on a plane of rows and columns."""

    length: int
    heads: int
    channels: int
    queries: int
    points: int
    shapes: tuple[tuple[int, int], ...]
    rows: int
    columns: int

    def strides(self, level: int) -> tuple[int, int]:
        """Of the convolution, so that its outputs reach over the level's map."""
        height, width = self.shapes[level]
        return -(-height // self.rows), -(-width // self.columns)

    def each(self, name: str) -> str:
        """A name for every level."""
        return ", ".join(f"{name}{level}" for level in range(len(self.shapes)))


def _as_deform_conv(signature: NodeSignature) -> Body | None:
    """Batch 1, ONNX Runtime CPU: one depthwise `DeformConv` a level, whose kernel points are the sampling points.

    The op samples at (output place · stride + kernel place + offset). So its offsets are ours plus a constant: the
    reference point in pixels minus that static base. Heads are its offset groups and the attention weights its
    modulation mask. It shares the bilinear coordinates between the channels of a head, which `GridSample` does not,
    and sums over the points itself.
    """
    (batch, length, heads, width), offsets_shape, _, _ = signature.input_shapes
    if batch != 1 or offsets_shape[1] > _MOST_QUERIES:
        return None
    sizes = list(signature.attributes["level_shapes"])
    planes = _Planes(
        length,
        heads,
        heads * width,
        queries=offsets_shape[1],
        points=offsets_shape[4],
        shapes=tuple(zip(sizes[0::2], sizes[1::2], strict=True)),
        rows=_query_plane(offsets_shape[1])[0],
        columns=_query_plane(offsets_shape[1])[1],
    )
    return Body(_deform_conv_text(planes), _deform_conv_constants(planes))


def _deform_conv_text(planes: _Planes) -> str:
    levels = len(planes.shapes)
    return f"""
        value_rows = Reshape (value, value_shape)
        value_planes = Transpose <perm = [1, 0]> (value_rows)
        {planes.each("value")} = Split <axis = 1> (value_planes, areas)
        reference_yx = Transpose <perm = [1, 0]> (reference_points)
        reference_pixels = Mul (reference_yx, size_yx)
        reference_offset = Sub (reference_pixels, base)
        offset_rows = Reshape (offsets, offset_rows_shape)
        offset_columns = Transpose <perm = [1, 0]> (offset_rows)
        offset_planes = Reshape (offset_columns, offset_planes_shape)
        places = Add (offset_planes, reference_offset)
        {planes.each("offset_level")} = Split <axis = 0, num_outputs = {levels}> (places)
        weights4 = Reshape (weights, weight_shape)
        weight_planes = Transpose <perm = [2, 1, 3, 0]> (weights4)
        {planes.each("weight_level")} = Split <axis = 0, num_outputs = {levels}> (weight_planes)
        {"".join(_deform_conv_level(planes, level) for level in range(levels))}
        total = Sum ({planes.each("out")})
        planes = Reshape (total, out_shape)
        attended = Transpose <perm = [0, 2, 1]> (planes)
        """


def _deform_conv_level(planes: _Planes, level: int) -> str:
    (height, width), (stride_y, stride_x) = planes.shapes[level], planes.strides(level)
    bottom = max(0, stride_y * (planes.rows - 1) + 1 - height)
    right = max(0, stride_x * (planes.columns - 1) + planes.points - width)
    return f"""
            map{level} = Reshape (value{level}, map_shape{level})
            offset{level} = Reshape (offset_level{level}, offset_shape)
            mask{level} = Reshape (weight_level{level}, mask_shape)
            out{level} = DeformConv <group = {planes.channels}, offset_group = {planes.heads},
                kernel_shape = [1, {planes.points}],
                strides = [{stride_y}, {stride_x}], pads = [0, 0, {bottom}, {right}]>
                (map{level}, ones, offset{level}, , mask{level})
        """


def _deform_conv_constants(planes: _Planes) -> dict[str, npt.NDArray[Any]]:
    levels, heads, points = len(planes.shapes), planes.heads, planes.points
    rows, columns, queries, channels = planes.rows, planes.columns, planes.queries, planes.channels
    return {
        "size_yx": np.array(planes.shapes, np.float32).reshape(levels, 1, 1, 2, 1),
        "base": _sampled_without_offsets(planes) + np.float32(0.5),
        "ones": np.ones((channels, 1, 1, points), np.float32),
        "value_shape": np.array([planes.length, channels]),
        "areas": np.array([height * width for height, width in planes.shapes]),
        "offset_rows_shape": np.array([queries, levels * heads * points * 2]),
        "offset_planes_shape": np.array([levels, heads, points, 2, queries]),
        "offset_shape": np.array([1, heads * points * 2, rows, columns]),
        "weight_shape": np.array([queries, heads, levels, points]),
        "mask_shape": np.array([1, heads * points, rows, columns]),
        "out_shape": np.array([1, channels, queries]),
        **{
            f"map_shape{level}": np.array([1, channels, height, width])
            for level, (height, width) in enumerate(planes.shapes)
        },
    }


def _sampled_without_offsets(planes: _Planes) -> npt.NDArray[np.float32]:
    """Where the convolutions sample when all offsets are 0, in pixels (y, x): `[levels, 1, points, 2, queries]`."""
    base = np.empty((len(planes.shapes), 1, planes.points, 2, planes.queries), np.float32)
    place = np.arange(planes.queries)
    for level in range(len(planes.shapes)):
        stride_y, stride_x = planes.strides(level)
        base[level, 0, :, 0] = place // planes.columns * stride_y
        base[level, 0, :, 1] = place % planes.columns * stride_x + np.arange(planes.points)[:, None]
    return base


def _fits(lengths: Mapping[str, int], attributes: Mapping[str, Any]) -> bool:
    sizes = attributes["level_shapes"]
    areas = [height * width for height, width in zip(sizes[0::2], sizes[1::2], strict=False)]
    return len(sizes) == 2 * lengths["L"] and min(areas) > 0 and sum(areas) == lengths["S"]


DEFORMABLE_ATTENTION = OpDefinition(
    name="DeformableAttention",
    inputs=("value", "offsets", "weights", "reference_points"),
    shapes=("BSMD", "BQLMP2", "BQMLP", "Q2"),
    output="attended",
    attributes=("level_shapes",),
    moves_values=False,
    decides=False,
    portable=Body(_PORTABLE),
    lowerings={"onnxruntime": _as_deform_conv, "openvino": as_grid_sample},
    native=True,
    fits=_fits,
)
