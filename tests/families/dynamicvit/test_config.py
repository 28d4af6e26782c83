"""Which DynamicViT: ranges, keep ratios, what a bundle stores."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from vpp_deploy.errors import ConfigError, ExportError
from vpp_deploy.families.dynamicvit.config import PUBLISHED, DynamicViTConfig, parse_keep, published

SMALL = DynamicViTConfig("small", width=32, depth=4, heads=2, keep=(0.5, 0.25), points=(1, 3), size=(64, 96), classes=5)


def test_keep_counts_are_of_the_original_patches() -> None:
    assert [step.count for step in published("deit_small", parse_keep("0.7")).schedule] == [137, 96, 67]
    assert [(step.index, step.block, step.count) for step in SMALL.schedule] == [(0, 1, 12), (1, 3, 6)]
    assert SMALL.grid == (4, 6)


def test_points_that_drop_nothing_are_passed_by() -> None:
    assert [step.index for step in replace(SMALL, keep=(1, 0.5)).schedule] == [1]
    assert [step.index for step in replace(SMALL, keep=(0.5, 0.5)).schedule] == [0]
    assert replace(SMALL, keep=(1, 1)).schedule == ()
    assert SMALL.dense().schedule == SMALL.dense().points == ()


def test_parse_keep() -> None:
    assert parse_keep("0.7") == pytest.approx((0.7, 0.49, 0.343))
    assert parse_keep("1") == (1, 1, 1)
    assert parse_keep("0.9, 0.5,0.2") == (0.9, 0.5, 0.2)
    assert parse_keep("0.5", points=2) == (0.5, 0.25)
    for text in ("", "a", "0.7,", "0.7,0.5", "0", "1.2", "nan", "-1"):
        with pytest.raises(ConfigError):
            parse_keep(text)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keep": (0.5, 0)}, "keep ratio 0 before block 3: it must be above 0"),
        ({"keep": (1.5, 0.5)}, "keep ratio 1.5 before block 1"),
        ({"keep": (float("nan"), 0.5)}, "keep ratio nan before block 1"),
        ({"keep": (0.5, 0.6)}, "keep ratio 0.6 before block 3: it counts from all patches"),
        ({"keep": (0.5, 0.04)}, "before block 3 keeps none of 24 patches; the smallest usable ratio there is 0.0417"),
        ({"keep": (0.5,)}, "1 keep ratios for 2 pruning points"),
        ({"points": (3, 1)}, r"pruning points \[3, 1\]; they must be ascending blocks from 0 to 3"),
        ({"points": (1, 4)}, "from 0 to 3"),
        ({"points": (-1, 3)}, "from 0 to 3"),
        ({"size": (64, 90)}, "image size 64x90; both sides must be multiples of 16"),
        ({"size": (0, 96)}, "image size 0x96"),
        ({"heads": 3}, "width 32 with 3 heads"),
        ({"classes": 0}, "classes is 0"),
    ],
)
def test_values_out_of_range(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(SMALL, **changes)


@pytest.mark.parametrize("patches", [(1, 1), (1, 3), (2, 3), (14, 14), (40, 40), (100, 101)])
def test_the_smallest_usable_ratio_is_usable(patches: tuple[int, int]) -> None:
    size = (patches[0] * 16, patches[1] * 16)
    with pytest.raises(ConfigError, match="smallest usable") as caught:
        replace(SMALL, size=size, keep=(0.5, 1e-9) if patches != (1, 1) else (1, 0.5))
    ratio = float(str(caught.value).rsplit(maxsplit=1)[1])
    assert replace(SMALL, size=size, keep=(1, ratio)).points == (1, 3)


def test_json() -> None:
    stored = json.loads(json.dumps(SMALL.to_dict()))
    assert DynamicViTConfig.from_dict(stored) == SMALL
    for wrong in ({**stored, "rate": 1}, {**stored, "keep": 3}, {**stored, "width": "a"}, {"name": "x"}):
        with pytest.raises(ConfigError, match="model configuration"):
            DynamicViTConfig.from_dict(wrong)


def test_published() -> None:
    assert list(PUBLISHED) == ["deit_256", "deit_small", "deit_base"]
    with pytest.raises(ExportError, match="unknown DynamicViT 'deit_huge'; known: deit_256"):
        published("deit_huge", (1, 1, 1))
