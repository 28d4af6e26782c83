"""DeformableAttention as `GridSample`, one for every point of every level, where a backend has a fast kernel of it."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vpp_deploy.ops.base import Body, NodeSignature

_MOST_SAMPLES: Final = 64
"""Points of all levels for which there is a node each."""


def as_grid_sample(signature: NodeSignature) -> Body | None:
    """Any batch: a point of all queries and heads is a `GridSample`; products and sums are all that is left.

    With all points in one `GridSample` a sum over them were another pass, over an axis of 4 elements.
    """
    (batch, length, heads, width), offsets_shape, _, _ = signature.input_shapes
    queries, levels, points = offsets_shape[1], offsets_shape[2], offsets_shape[4]
    samples = levels * points
    if samples > _MOST_SAMPLES:
        return None
    sizes = list(signature.attributes["level_shapes"])
    shapes = list(zip(sizes[0::2], sizes[1::2], strict=True))
    constants: dict[str, npt.NDArray[Any]] = {
        # Four axes, of which the last comes second: the transposition that OpenVINO does fastest.
        "rows_shape": np.array([batch, length, 1, heads * width]),
        "areas": np.array([height * width for height, width in shapes]),
        "x_then_y": np.array([1, 0]),
        "half_size": np.array([(w / 2, h / 2) for h, w in shapes], np.float32).reshape(levels, 1, 1, 1, 1, 2),
        "one": np.array(1, np.float32),
        "two": np.array(2, np.float32),
        "reference_shape": np.array([1, 1, 1, 1, queries, 2]),
        "grids_shape": np.array([samples, batch * heads, 1, queries, 2]),
        "shares_shape": np.array([samples, batch * heads, 1, 1, queries]),
        "first": np.array([0]),
        "planes_shape": np.array([batch, heads * width, queries]),
        **{f"map_shape{level}": np.array([batch * heads, width, h, w]) for level, (h, w) in enumerate(shapes)},
    }
    maps = "".join(f"map{level} = Reshape (value{level}, map_shape{level})\n" for level in range(levels))
    text = f"""
        value_rows = Reshape (value, rows_shape)
        value_planes = Transpose <perm = [0, 3, 1, 2]> (value_rows)
        {_each("value", levels)} = Split <axis = 2> (value_planes, areas)
        {maps}
        reference_xy = Gather <axis = 1> (reference_points, x_then_y)
        doubled = Mul (reference_xy, two)
        centred = Sub (doubled, one)
        reference_grid = Reshape (centred, reference_shape)
        offsets_by_point = Transpose <perm = [2, 4, 0, 3, 1, 5]> (offsets)
        offsets_xy = Gather <axis = 5> (offsets_by_point, x_then_y)
        offset_grid = Div (offsets_xy, half_size)
        places = Add (offset_grid, reference_grid)
        grids = Reshape (places, grids_shape)
        {_each("grids", samples)} = Split <axis = 0, num_outputs = {samples}> (grids)
        weights_by_point = Transpose <perm = [3, 4, 0, 2, 1]> (weights)
        shares = Reshape (weights_by_point, shares_shape)
        {_each("shares", samples)} = Split <axis = 0, num_outputs = {samples}> (shares)
        {"".join(_sample(number, number // points) for number in range(samples))}
        total = Sum ({_each("weighted", samples)})
        planes = Reshape (total, planes_shape)
        attended = Transpose <perm = [0, 2, 1]> (planes)
    """
    return Body(text, constants)


def _sample(number: int, level: int) -> str:
    return f"""
        grid{number} = Squeeze (grids{number}, first)
        share{number} = Squeeze (shares{number}, first)
        sample{number} = GridSample <mode = "linear", padding_mode = "zeros", align_corners = 0>
            (map{level}, grid{number})
        weighted{number} = Mul (sample{number}, share{number})
    """


def _each(name: str, count: int) -> str:
    return ", ".join(f"{name}{number}" for number in range(count))
