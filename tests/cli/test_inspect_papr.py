from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Cli
from vpp_deploy.bundle import Bundle, ClassificationManifest


@pytest.fixture
def own(papr_bundle: Bundle, tmp_path: Path) -> Path:
    """A bundle of one's own, to change."""
    return Path(shutil.copytree(papr_bundle.path, tmp_path / "own.bundle"))


def edit(bundle: Path, **changes: Any) -> None:
    path = bundle / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_inspect_shows_everything_a_user_needs(cli: Cli, papr_bundle: Bundle) -> None:
    outcome = cli("inspect", papr_bundle.path)
    assert (outcome.code, outcome.err) == (0, "")
    manifest = ClassificationManifest.of(papr_bundle.manifest, "this test")
    rows = [line.split() for line in outcome.out.splitlines()]
    assert ["patches", "4x6", "24", "12", "50%"] in rows
    assert ["in", "images", "uint8", "[2,", "64,", "96,", "3]"] in rows
    assert ["out", "kept_patches", "int32", "[2,", "12]"] in rows
    for text in (
        "RANDOM WEIGHTS (seed 0): this model is untrained, its labels and kept patches mean nothing",
        "mobileone_s0",
        "64x96 pixels",
        "1000 of imagenet-1k: tench",
        f"dense {manifest.cost.dense / 1e9:.2f}, pruned {manifest.cost.pruned / 1e9:.2f}",
        "center-crop, bicubic with antialiasing: keep the aspect ratio, cover 71x106",
        manifest.provenance.torch,
        "fits this machine",
        f"not measured yet; measure it with: vpp-deploy parity {papr_bundle.path} --input IMAGES",
    ):
        assert text in outcome.out
    assert "State" not in outcome.out


def test_inspect_json_is_the_manifest_and_more(cli: Cli, papr_bundle: Bundle) -> None:
    content = json.loads(cli("inspect", papr_bundle.path, "--json").out)
    assert content.keys() == {"path", "manifest", "engines", "parity"}
    assert content["manifest"] == json.loads((papr_bundle.path / "manifest.json").read_text())
    assert content["engines"]["onnxruntime"]["fits"] is True


def test_inspect_fits_the_terminal(cli: Cli, papr_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = cli("inspect", papr_bundle.path).out.splitlines()
    tables = [line for line in lines if str(papr_bundle.path) not in line and "RANDOM" not in line]
    assert max(map(len, tables)) <= 80
    assert "significance_patches" in " ".join(lines).split()


def test_sources_of_the_weights(cli: Cli, own: Path) -> None:
    made = json.loads((own / "manifest.json").read_text())["provenance"]
    made["weights"] = {"kind": "checkpoint", "name": "birds.pth", "sha256": "ab" * 32}
    made["proposal_weights"] = {"kind": "pretrained", "name": "mobileone_s0.apple_in1k"}
    edit(own, provenance=made)
    out = cli("inspect", own).out
    assert "RANDOM" not in out
    assert f"checkpoint birds.pth, sha256 {'ab' * 32}" in out
    assert "pretrained mobileone_s0.apple_in1k\n" in out


def test_a_bundle_that_prunes_nothing(cli: Cli, own: Path) -> None:
    made = json.loads((own / "manifest.json").read_text())["provenance"]
    cost = {"dense": 10**9, "pruned": 10**9, "proposal": 0}
    edit(own, pruning_points=[], proposal=None, cost=cost, provenance={**made, "proposal_weights": None})
    out = cli("inspect", own).out
    for text in ("all (keep ratio 1)", "none: nothing is pruned", "1.00, nothing is pruned"):
        assert text in out


def test_a_bundle_of_clips_that_merges(cli: Cli, own: Path) -> None:
    edit(own, clip={"frames": 16, "sampling": 4}, merged=13, final_tokens=57)
    out = cli("inspect", own).out
    assert "16 frames, one of every 4 of a video" in out
    assert "up to 13 tokens a block, leaves 57 tokens after the last block" in out
    assert "GFLOPs per clip" in out
    assert "--input VIDEO" in out


SUMMARY = {
    "passed": True,
    "samples": 8,
    "source": "photos",
    "created": "2026-01-01T00:00:00Z",
    "tensors": {"logits": {"maximum": 2e-6}, "significance_patches": {"maximum": 3e-7}},
    "overlaps": {"patches": {"minimum": 0.9167}},
    "labels": {"top1_agreement": 1.0},
}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "passed on 8 samples of photos, 2026-01-01T00:00:00Z: largest difference 2.0e-06 (logits), kept patches"),
        ({}, "kept patches in common at least 91.7%, same label in 100%"),
        ({"passed": False}, "FAILED on 8 samples"),
        ({"source": None}, "passed on 8 samples, 2026"),
        ({"overlaps": {}}, "at least 100%"),
        ({"labels": {}}, "cannot be read; measure it again"),
        ({"tensors": {}}, "cannot be read; measure it again"),
        ({"tensors": {"logits": {"maximum": None}}}, "cannot be read; measure it again"),
    ],
)
def test_stored_parity(changes: dict[str, Any], words: str, cli: Cli, own: Path) -> None:
    Bundle.open(own).write_parity_summary("onnxruntime", {**SUMMARY, **changes})
    assert words in cli("inspect", own).out
