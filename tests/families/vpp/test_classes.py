"""Classes of one's own for VPP's models."""

from __future__ import annotations

from pathlib import Path

import pytest

from vpp_deploy.cli.main import main
from vpp_deploy.errors import ConfigError, ExitCode
from vpp_deploy.exporters.request import ExportRequest
from vpp_deploy.families.vpp.config import MODELS, DetectorConfig, model_config
from vpp_deploy.families.vpp.detector import VppDetector
from vpp_deploy.families.vpp.options import VppOptions, config_of


def test_a_configuration_keeps_them() -> None:
    config = model_config("vpp-micro", classes=["car", "bicycle"])
    assert config.class_names == ("car", "bicycle")
    assert DetectorConfig.from_dict(config.to_dict()) == config


def test_labels_name_the_classes_of_a_configuration_of_ones_own() -> None:
    request = ExportRequest(model=MODELS["vpp-micro"], out=Path("x.bundle"))
    config = config_of(request, VppOptions(labels=["car", "bicycle"]))
    assert (config.dataset, config.class_names) == ("custom", ("car", "bicycle"))
    assert config_of(request, VppOptions()) == MODELS["vpp-micro"]


def test_configurations_of_older_bundles_have_none() -> None:
    older = MODELS["vpp-demo"].to_dict()
    del older["classes"]
    assert DetectorConfig.from_dict(older) == MODELS["vpp-demo"]


def test_the_class_head_has_as_many() -> None:
    detector = VppDetector(model_config("vpp-micro", classes=["car", "bicycle"]))
    heads = [tensor.shape[0] for name, tensor in detector.state_dict().items() if name.endswith("cls_embed.weight")]
    assert heads == [3]


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ({"classes": []}, "there is no label"),
        ({"classes": ["car", "car"]}, "two classes have the name 'car'"),
        ({"classes": ["car"], "dataset": "shapes"}, "give either it or labels"),
    ],
)
def test_what_cannot_be_is_said(named: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        model_config("vpp-micro", **named)


def test_the_command_reads_a_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("car\n\nbicycle\n")
    words = ("export", "vpp-micro", "--random-weights", "--labels", labels, "-o", tmp_path / "x.bundle")
    assert main([str(word) for word in words]) in (ExitCode.USAGE, ExitCode.BAD_INPUT, ExitCode.UNSUPPORTED_MODEL)
    assert "line 2 is blank" in capfd.readouterr().err
