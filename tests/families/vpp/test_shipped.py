from __future__ import annotations

import pytest

from tests.conftest import REPOSITORY
from vpp_deploy.families.vpp.checkpoint import load_detector
from vpp_deploy.families.vpp.config import KEEP_SCHEDULES, model_config
from vpp_deploy.families.vpp.shipped import SHIPPED_MODELS, shipped_weights

MOST_BYTES = 15_000_000


@pytest.mark.parametrize("keep", [*KEEP_SCHEDULES, "0.9,0.8,0.7,0.6"])
@pytest.mark.parametrize("model", SHIPPED_MODELS)
def test_every_keep_schedule_has_weights_that_fit(model: str, keep: str) -> None:
    config = model_config(model, keep)
    path = shipped_weights(config)
    assert path is not None
    load_detector(config, path)


@pytest.mark.parametrize("model", SHIPPED_MODELS)
def test_shipped_weights_are_small_and_have_a_card(model: str) -> None:
    path = shipped_weights(model_config(model))
    assert path is not None
    assert sum(file.stat().st_size for file in path.parent.glob("*.safetensors")) <= MOST_BYTES
    card = (path.parent / "MODEL_CARD.md").read_text()
    assert all(part in card for part in ("Data", "Recipe", "Commit", "AP_track"))


def test_other_models_have_none() -> None:
    assert shipped_weights(model_config("vpp-small")) is None


def test_the_weights_are_part_of_the_package() -> None:
    import tomllib

    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["vpp_deploy"]
    for model in SHIPPED_MODELS:
        path = shipped_weights(model_config(model))
        assert path is not None
        assert any(path.relative_to(REPOSITORY / "vpp_deploy").match(pattern) for pattern in patterns)
