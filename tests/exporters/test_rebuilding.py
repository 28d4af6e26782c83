"""References of bundles whose configuration a stranger wrote: refused in one line, before anything large is made."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st

import vpp_deploy
from tests.families.command_line import NAME, micro_size
from vpp_deploy.bundle import Bundle
from vpp_deploy.errors import CheckpointError, ConfigError, VppDeployError
from vpp_deploy.exporters.refusals import refusals_of
from vpp_deploy.families import open_reference
from vpp_deploy.families.dynamicvit import config as dynamicvit
from vpp_deploy.families.dynamicvit.model import DynamicViT
from vpp_deploy.families.evit import config as evit
from vpp_deploy.families.evit.model import EViT
from vpp_deploy.families.papr.config import PaprConfig
from vpp_deploy.families.vpp.config import DetectorConfig, model_config

KINDS = ("vpp", "papr", "dynamicvit", "evit")
CONFIGS: dict[str, Any] = {
    "vpp": model_config("vpp-micro"),
    "papr": PaprConfig("vit_tiny_patch16_224", 0.5, "mobileone_s0", (64, 96), (0, 1), 2, 7),
    "dynamicvit": dynamicvit.published("deit_small", (0.7, 0.5, 0.3)),
    "evit": evit.published("deit_small", (0.7, 0.5, 0.3), pretrain_size=(224, 224)),
}
ODD = (None, "x", "\x1b[31m", [], {}, [[1]], True, -1, 0, 1.5, float("nan"), float("inf"), 10**7, 2**40, 10**400)
Place = tuple[str | int, ...]


@pytest.fixture(scope="module")
def bundles(micro_bundle: Bundle, papr_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    """One of each family; those of DeiTs have no graph of their own, which no reference reads."""
    made = {"vpp": micro_bundle, "papr": papr_bundle}
    with micro_size():
        models = {
            "dynamicvit": DynamicViT(dynamicvit.published(NAME, (0.7, 0.5, 0.3), (64, 96))),
            "evit": EViT(evit.published(NAME, (0.7, 0.7, 0.7), size=(64, 96))),
        }
    for family, model in models.items():
        path = tmp_path_factory.mktemp(family)
        bundle = dataclasses.replace(with_config(papr_bundle, model.config.to_dict(), family), path=path)
        safetensors.torch.save_file(model.state_dict(), bundle.weights_path)
        made[family] = bundle
    return made


def with_config(bundle: Bundle, config: Mapping[str, Any], family: str | None = None) -> Bundle:
    manifest = bundle.manifest
    model = manifest.model.model_copy(update={"config": config, "family": family or manifest.model.family})
    return Bundle(bundle.path, manifest.model_copy(update={"model": model}))


def places(value: Any, at: Place = ()) -> Iterator[Place]:
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield (*at, key)
        if isinstance(inner, dict | list):
            yield from places(inner, (*at, key))


def changed(config: Mapping[str, Any], place: Place, value: Any) -> dict[str, Any]:
    made = copy.deepcopy(dict(config))
    inner: Any = made
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return made


@pytest.mark.parametrize("family", KINDS)
def test_configurations_survive_the_manifest(family: str) -> None:
    config = CONFIGS[family]
    assert type(config).from_dict(config.to_dict()) == config


@pytest.mark.parametrize("family", KINDS)
def test_every_odd_value_is_refused_in_one_line(family: str) -> None:
    config = CONFIGS[family]
    for place in places(config.to_dict()):
        for value in ODD:
            content = changed(config.to_dict(), place, value)
            try:
                made = type(config).from_dict(content)
            except ConfigError as error:
                message = str(error)
            else:
                assert made.to_dict() == content or value == {}, (place, value)  # as it is, or all defaults
                continue
            assert "\n" not in message
            assert "\x1b" not in message
            assert len(message) < 500


@given(st.sampled_from(KINDS), st.recursive(st.none() | st.integers() | st.text(), lambda x: st.lists(x), max_leaves=4))
def test_what_is_no_configuration(family: str, content: Any) -> None:
    with pytest.raises(ConfigError, match="export the bundle again"):
        type(CONFIGS[family]).from_dict(content)


def test_fields_that_are_missing_and_unknown_are_named() -> None:
    content = CONFIGS["vpp"].to_dict()
    with pytest.raises(ConfigError, match=r"no field backbone\.width"):
        DetectorConfig.from_dict(changed(content, ("backbone",), {"heads": 3}))
    with pytest.raises(ConfigError, match="unknown fields wings"):
        DetectorConfig.from_dict({**content, "wings": 2})
    with pytest.raises(ConfigError, match=r"head\.encoder_layers is '6'; it must be a whole number"):
        DetectorConfig.from_dict(changed(content, ("head", "encoder_layers"), "6"))
    with pytest.raises(ConfigError, match="encoder_layers is 10000000; it must be from 1 to 256"):
        DetectorConfig.from_dict(changed(content, ("head", "encoder_layers"), 10**7))


@pytest.mark.parametrize("family", KINDS)
def test_giants_are_refused_before_they_are_made(family: str, bundles: dict[str, Bundle]) -> None:
    """The largest numbers that a configuration may have: a terabyte and more, if it were allocated."""
    config = bundles[family].manifest.model.config
    assert open_reference(bundles[family]).backend == "torch"
    fits = {"frame_size", "keep", "merge", "stages"}  # what no weight depends on
    for place in places(config):
        value = config
        for key in place:
            value = value[key]
        if type(value) is not int or place[0] in fits:
            continue
        for giant in (100, 2**31 - 2):
            with pytest.raises((CheckpointError, ConfigError)) as caught:
                open_reference(with_config(bundles[family], changed(config, place, giant)))
            assert "\n" not in str(caught.value)


@pytest.mark.parametrize("model", ["vit_giant_patch14_224", "swin_large_patch4_window12_384", "resnet50", "no_such"])
def test_other_models_of_the_library(model: str, bundles: dict[str, Bundle]) -> None:
    config = {**bundles["papr"].manifest.model.config, "model": model}
    with pytest.raises(VppDeployError) as caught:
        open_reference(with_config(bundles["papr"], config))
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code != 1


def test_what_pytorch_refuses_is_the_fault_of_the_configuration(papr_bundle: vpp_deploy.Bundle) -> None:
    with (
        pytest.raises(ConfigError, match=r"does not make a model that runs .*; export it again"),
        refusals_of(papr_bundle),
    ):
        torch.zeros(3) @ torch.zeros(4)
