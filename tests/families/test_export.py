"""`vpp_deploy.export`, whatever the family: by name, by configuration, or of a module in memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import vpp_deploy
from tests.families.test_families import OWN, OwnOptions
from vpp_deploy.errors import UsageError
from vpp_deploy.exporters.request import ExportRequest
from vpp_deploy.families import FAMILIES, Family

Asked = list[tuple[ExportRequest, OwnOptions]]


@pytest.fixture
def asked() -> Asked:
    return []


@pytest.fixture
def family(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> Family:
    """A family that notes what it is asked for."""
    monkeypatch.setattr(FAMILIES, "_records", dict(FAMILIES._records))

    def check(request: ExportRequest, options: OwnOptions) -> None:
        if request.keep == "none":
            raise UsageError("keep none makes no sense")

    def export(request: ExportRequest, options: OwnOptions) -> Any:
        asked.append((request, options))

    made = replace(OWN, check=check, export=export)
    FAMILIES.register("own", made)
    return made


def test_a_name(family: Family, asked: Asked, tmp_path: Path) -> None:
    weights = vpp_deploy.RandomWeights(3)
    steps: list[str] = []
    vpp_deploy.export(
        "mine:small",
        out=str(tmp_path / "x.bundle"),
        checkpoint="w.pth",
        random_weights=weights,
        keep=0.5,
        size=(64, 96),
        precision="float16",
        overwrite=True,
        progress=steps.append,
        shade=0,
    )
    ((request, options),) = asked
    assert request == ExportRequest(
        model="mine:small",
        out=tmp_path / "x.bundle",
        checkpoint=Path("w.pth"),
        random_weights=weights,
        keep=0.5,
        size=(64, 96),
        precision="float16",
        overwrite=True,
    )
    assert options == OwnOptions(shade=0)
    request.progress("on the way")
    assert steps == ["on the way"]


class Model:
    """A module in memory, as far as the registry is concerned."""

    name = "my model"

    def __init__(self, family: Any) -> None:
        self.family = family


def test_a_module_that_names_its_family(family: Family, asked: Asked, tmp_path: Path) -> None:
    model = Model("own")
    vpp_deploy.export(model, out=tmp_path / "x")
    assert asked[0][0].model is model
    assert asked[0][1] == OwnOptions()


def test_a_module_brings_its_family_along(asked: Asked, family: Family, tmp_path: Path) -> None:
    """Nothing is installed, and the bundle's reference is found again in this process."""
    brought = replace(family, name="brought", prefix="brought:")
    vpp_deploy.export(Model(brought), out=tmp_path / "x")
    assert FAMILIES["brought"] is brought
    changed = replace(brought, title="Changed")  # as a notebook's cell that is run again makes it
    vpp_deploy.export(Model(changed), out=tmp_path / "x")
    assert FAMILIES["brought"] is changed
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shadow": 1}, "export my model: family own has no option shadow; it has shade, batch"),
        ({"shade": -1}, "shade is -1; it must be at least 0"),
        ({"precision": "int3"}, "unknown precision 'int3'"),
        ({"keep": "none"}, "keep none makes no sense"),
    ],
)
def test_what_is_refused_before_anything_is_made(
    arguments: dict[str, Any], message: str, family: Family, asked: Asked, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        vpp_deploy.export(Model("own"), out=tmp_path / "x", **arguments)
    assert (asked, list(tmp_path.iterdir())) == ([], [])


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("vpp-micro", {"batch": 2}, "export vpp-micro: family vpp has no option batch; it has dataset"),
        (
            "papr:vit_tiny_patch16_224",
            {"max_tracks": 3},
            "family papr has no option max_tracks; it has pretr",
        ),
        ("dynamicvit:deit_small", {"no_fuse": True}, "family dynamicvit has no option no_fuse; it has labels, batch"),
        ("evit:deit_small", {"merge": 3}, "family evit has no option merge; it has labels, batch, no_fuse"),
        ("evit:deit_small", {"batch": 0}, "batch is 0; it must be at least 1"),
    ],
)
def test_options_of_other_families(model: str, options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        vpp_deploy.export(model, out=tmp_path / "x", random_weights=vpp_deploy.RandomWeights(), **options)
    assert list(tmp_path.iterdir()) == []


def test_a_configuration_says_everything_itself(tmp_path: Path) -> None:
    config = vpp_deploy.PaprConfig("papr:vit_tiny_patch16_224", 0.5)
    with pytest.raises(UsageError, match="keep, size belong into the PaprConfig itself"):
        vpp_deploy.export(
            config, out=tmp_path / "x", random_weights=vpp_deploy.RandomWeights(), keep=0.4, size=(64, 64)
        )
