"""Keep schedules and named configurations."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpp_deploy.errors import ConfigError, ExportError
from vpp_deploy.families.vpp.backbone import SelectiveViTAdapter
from vpp_deploy.families.vpp.config import (
    DENSE,
    MODELS,
    DetectorConfig,
    KeepSchedule,
    model_config,
    parse_keep_schedule,
)
from vpp_deploy.families.vpp.datasets import DATASETS
from vpp_deploy.families.vpp.frame_graph import GraphOptions


@pytest.mark.parametrize(
    ("keep", "kept"),
    [("0.55", (1428, 1142, 913, 730)), ("0.4", (1224, 856, 599, 420)), ("dense", ())],
)
def test_kept_tokens_at_the_official_size(keep: str, kept: tuple[int, ...]) -> None:
    """VPP.md gives 1428, 1142, 913, 730 for 0.55 at 960×544; the others follow from int(N · r)."""
    config = model_config("vpp-micro", keep)
    assert SelectiveViTAdapter(config.backbone, config.keep).kept_tokens((34, 60)) == kept


def test_truncation_is_that_of_python_doubles() -> None:
    """int(90 · 0.7) is 62, not 63 (VPP.md, Map-SM step 4)."""
    config = model_config("vpp-micro", "0.7,0.7,0.7,0.7")
    assert SelectiveViTAdapter(config.backbone, config.keep).kept_tokens((9, 10)) == (62, 62, 62, 62)


def test_a_schedule_that_keeps_nothing_is_refused() -> None:
    config = model_config("vpp-micro", "0.5,0.1,0.1,0.01")
    with pytest.raises(ExportError, match="keeps no token"):
        SelectiveViTAdapter(config.backbone, config.keep).kept_tokens((2, 4))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0.5,0.6,0.4,0.3", "grows"),
        ("0.7,0.5,0.6,0.3", "grows"),
        ("1.2,0.5,0.4,0.3", "outside"),
        ("0.7,0.5,0.4,0", "outside"),
        ("0.7,0.5,0.4,-1", "outside"),
        ("nan,0.5,0.4,0.1", "outside"),
        ("1.5", "needs 4 ratios"),
        ("0", "needs 4 ratios"),
        ("0.7,0.5", "needs 4 ratios"),
        ("0.3", "no named keep schedule"),
        ("half", "neither one of"),
        ("", "neither one of"),
    ],
)
def test_bad_schedules(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        parse_keep_schedule(text)
    assert "\n" not in str(caught.value)


ratios = st.floats(0, 1, exclude_min=True).map(lambda r: round(r, 6)).filter(lambda r: r > 0)


@given(st.lists(ratios, min_size=4, max_size=4))
def test_custom_schedules_round_trip(values: list[float]) -> None:
    values = sorted(values, reverse=True)
    schedule = parse_keep_schedule(",".join(str(value) for value in values))
    assert list(schedule.ratios) == values
    assert not schedule.is_dense


@pytest.mark.parametrize("text", ["dense", "1.0", "1"])
def test_dense(text: str) -> None:
    assert parse_keep_schedule(text) == DENSE


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("keep", ["dense", "0.55", "0.4", "0.9,0.8,0.7,0.6"])
def test_configurations_survive_the_manifest(name: str, keep: str) -> None:
    config = model_config(name, keep)
    assert DetectorConfig.from_dict(config.to_dict()) == config


def test_a_foreign_configuration_is_refused() -> None:
    with pytest.raises(ConfigError, match="export the bundle again"):
        DetectorConfig.from_dict({"name": "x"})


def test_unknown_names() -> None:
    with pytest.raises(ExportError, match="unknown model 'vpp-huge'; known: vpp-tiny"):
        model_config("vpp-huge")
    with pytest.raises(ExportError, match="unknown data set"):
        model_config("vpp-tiny", dataset="coco")


def test_label_sets() -> None:
    assert {name: len(labels) for name, labels in DATASETS.items()} == {
        "youtube-vis-2019": 40,
        "youtube-vis-2021": 40,
        "shapes": 5,
    }
    assert all(len(set(labels)) == len(labels) for labels in DATASETS.values())


@pytest.mark.parametrize("size", [(100, 640), (384, 641), (0, 32)])
def test_frame_sizes_are_multiples_of_32(size: tuple[int, int]) -> None:
    with pytest.raises(ExportError, match=r"multiples of 32; use \d+x\d+"):
        GraphOptions(size)


def test_capacities_are_positive() -> None:
    with pytest.raises(ExportError, match="max_tracks is 0"):
        GraphOptions((32, 32), max_tracks=0)


def test_dense_is_a_schedule_without_ratios() -> None:
    with pytest.raises(ConfigError, match="needs 4 ratios"):
        KeepSchedule("custom", None, (0.5, 0.4, 0.3))


@pytest.mark.parametrize("keep", [0.55, "0.55", 1, [0.7, 0.56, 0.448, 0.358], (0.7, 0.56, 0.448, 0.358)])
def test_keep_as_python_gives_it(keep: Any) -> None:
    text = ",".join(map(str, keep)) if isinstance(keep, list | tuple) else str(keep)
    assert model_config("vpp-demo", keep).keep == parse_keep_schedule(text)


@pytest.mark.parametrize("keep", [[], {}, float("nan"), True, object(), 2])
def test_keep_that_is_none(keep: Any) -> None:
    with pytest.raises(ConfigError, match="keep"):
        model_config("vpp-demo", keep)
