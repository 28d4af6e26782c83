"""Which EViT: ranges, keep rates, what a bundle stores."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from vpp_deploy.errors import ConfigError, ExportError
from vpp_deploy.families.evit.config import PUBLISHED, EViTConfig, parse_keep, published

SMALL = EViTConfig("small", width=32, depth=4, heads=2, keep=(0.5, 0.5), points=(1, 2), size=(64, 96), classes=5)


def test_keep_counts_are_of_the_tokens_present() -> None:
    steps = published("deit_small", parse_keep("0.7")).schedule
    assert [(step.block, step.tokens, step.count) for step in steps] == [(3, 196, 138), (6, 139, 98), (9, 99, 70)]
    steps = published("deit_small", parse_keep("0.7"), fuse=False).schedule
    assert [(step.tokens, step.count) for step in steps] == [(196, 138), (138, 97), (97, 68)]


def test_points_that_drop_nothing_are_passed_by() -> None:
    assert [step.block for step in replace(SMALL, keep=(1, 0.5)).schedule] == [2]
    assert replace(SMALL, keep=(1, 1)).schedule == ()
    few = replace(SMALL, size=(32, 32), keep=(0.9, 0.5))  # 4 tokens: none of them can be dropped at 0.9
    assert [(step.block, step.tokens, step.count) for step in few.schedule] == [(2, 4, 2)]
    assert SMALL.dense().schedule == SMALL.dense().points == ()


def test_parse_keep() -> None:
    assert parse_keep("0.7") == (0.7, 0.7, 0.7)
    assert parse_keep("0.5, 0.9,1") == (0.5, 0.9, 1)
    assert parse_keep("0.5", points=2) == (0.5, 0.5)
    for text in ("", "a", "0.7,", "0.7,0.5"):
        with pytest.raises(ConfigError, match="keep rate"):
            parse_keep(text)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keep": (0.5, 0)}, "keep rate 0 in block 2: it must be above 0"),
        ({"keep": (1.5, 0.5)}, "keep rate 1.5 in block 1"),
        ({"keep": (float("nan"), 0.5)}, "keep rate nan in block 1"),
        ({"keep": (0.5,)}, "1 keep rates for 2 pruning points"),
        ({"points": (2, 1)}, r"pruning points \[2, 1\]; they must be ascending blocks from 0 to 3"),
        ({"points": (1, 4)}, "from 0 to 3"),
        ({"points": (-1, 3)}, "from 0 to 3"),
        ({"size": (64, 90)}, "image size 64x90; both sides must be multiples of 16"),
        ({"pretrain_size": (60, 64)}, "pretrain size 60x64; both sides must be multiples of 16"),
        ({"heads": 3}, "width 32 with 3 heads"),
        ({"classes": 0}, "classes is 0"),
    ],
)
def test_values_out_of_range(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(SMALL, **changes)


@pytest.mark.parametrize("config", [SMALL, replace(SMALL, pretrain_size=(224, 224), fuse=False)])
def test_json(config: EViTConfig) -> None:
    stored = json.loads(json.dumps(config.to_dict()))
    assert EViTConfig.from_dict(stored) == config
    for wrong in ({**stored, "rate": 1}, {**stored, "keep": 3}, {**stored, "width": "a"}, {"name": "x"}):
        with pytest.raises(ConfigError, match="model configuration"):
            EViTConfig.from_dict(wrong)


def test_published() -> None:
    assert list(PUBLISHED) == ["deit_tiny", "deit_small", "deit_base"]
    with pytest.raises(ExportError, match="unknown EViT 'deit_huge'; known: deit_tiny"):
        published("deit_huge", (1, 1, 1))
