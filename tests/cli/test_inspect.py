from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from vpp_deploy.bundle import Bundle


def test_inspect_shows_everything_a_user_needs(cli: Cli, micro_bundle: Bundle) -> None:
    outcome = cli("inspect", micro_bundle.path)
    assert (outcome.code, outcome.err) == (0, "")
    manifest = micro_bundle.manifest
    assert "RANDOM WEIGHTS" in outcome.out
    for point in manifest.pruning_points:
        row = next(line for line in outcome.out.splitlines() if line.startswith(f"{point.name} "))
        assert str(point.kept) in row.split()
    for phase in ("init", "step"):
        graph = manifest.graphs[phase]
        assert all(spec.name in outcome.out for spec in (*graph.inputs, *graph.outputs))
    assert all(state.input in outcome.out for state in manifest.state)
    for text in ("128x192", "letterbox", manifest.provenance.torch, "fits this machine", "not measured yet"):
        assert text in outcome.out


def test_inspect_json_is_the_manifest_and_more(cli: Cli, micro_bundle: Bundle) -> None:
    outcome = cli("inspect", micro_bundle.path, "--json")
    content = json.loads(outcome.out)
    assert content["manifest"] == json.loads((micro_bundle.path / "manifest.json").read_text())
    assert content["engines"]["onnxruntime"]["fits"] is True
    assert content["engines"]["onnxruntime"]["record"]["source"]["step.onnx"]
    assert content["parity"] == {}
    assert outcome.err == ""


@pytest.mark.parametrize("columns", ["80", "120"])
def test_inspect_fits_the_terminal(
    columns: str, cli: Cli, micro_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    lines = cli("inspect", micro_bundle.path).out.splitlines()
    assert "…" not in "".join(lines)
    assert "state_in_00_reference" in " ".join(lines).split()  # whole, not folded
    tables = [line for line in lines if str(micro_bundle.path) not in line and "RANDOM" not in line]
    assert max(map(len, tables)) <= int(columns)


def test_a_trained_bundle_raises_no_alarm(cli: Cli, bundle: Path) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["provenance"]["weights"] = {"kind": "checkpoint", "name": "epoch_6.pth", "sha256": "ab" * 32}
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    out = cli("inspect", bundle).out
    assert "RANDOM" not in out
    assert f"checkpoint epoch_6.pth, sha256 {'ab' * 32}" in out


def test_an_unreadable_engine_record_is_told(cli: Cli, bundle: Path) -> None:
    (bundle / "engines" / "onnxruntime" / "engine.json").write_text("{}")
    out = " ".join(cli("inspect", bundle).out.split())  # lines end where the terminal does
    assert "unreadable" in out
    assert f"vpp-deploy build-engine {bundle} --engine onnxruntime" in out
