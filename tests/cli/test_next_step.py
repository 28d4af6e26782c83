"""What commands say to go on with: every such command works."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest

from tests.bundle.tensors_factory import make_tensors
from tests.cli.conftest import Cli, Outcome
from tests.media.clips import write_clip
from vpp_deploy.bundle import Bundle
from vpp_deploy.engines.backend import Backend
from vpp_deploy.exporters.precision import PRECISIONS

PRODUCT = """g (float[2,2] x) => (float[2,2] y) {
    w = Constant <value = float[2,2] {1.0, 2.0, 3.0, 4.0}> ()
    y = MatMul (x, w)
}"""
CASES = [(kind, precision) for kind in ("images", "tensors") for precision in PRECISIONS if precision != "float32"]
CASES += [("video", "float16"), ("video", "bfloat16")]


def next_of(outcome: Outcome) -> list[str]:
    assert outcome.code == 0, outcome.err
    (line,) = [line for line in outcome.out.splitlines() if line.startswith("next: vpp-deploy ")]
    return shlex.split(line)[2:]


@pytest.mark.parametrize(("kind", "precision"), CASES)
def test_hints_lead_from_a_bundle_to_results(
    kind: str,
    precision: str,
    micro_bundle: Bundle,
    papr_bundle: Bundle,
    cli: Cli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if precision == "bfloat16":
        pytest.importorskip("openvino", reason="no other engine runs it on a processor")
    monkeypatch.chdir(tmp_path)
    clip = write_clip(tmp_path / "clip.mp4", frames=9, size=(64, 96))
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(0).uniform(-1, 1, (9, 2, 2)).astype(np.float32))
    files: dict[str, Path] = {"IMAGES": clip, "VIDEO": clip, "INPUTS.npz": tmp_path / "x.npz"}
    bundles = {"video": micro_bundle, "images": papr_bundle, "tensors": make_tensors(tmp_path / "a.bundle", PRODUCT)}
    source, made = files["INPUTS.npz" if kind == "tensors" else "VIDEO"], tmp_path / "my own.bundle"
    data = [] if PRECISIONS[precision].casting else ["--data", source, "--frames", 8]
    build = next_of(cli("quantize", bundles[kind].path, "--precision", precision, "-o", made, *data))
    assert build[:2] == ["build-engine", str(made)]
    assert f"build one with: vpp-deploy {shlex.join(build)}\n" in cli("inspect", made).out
    run = next_of(cli(*build))
    assert run[:2] == ["infer", str(made)]
    outcome = cli(*(files.get(word, word) for word in run))
    assert outcome.code == 0, outcome.err
    (line,) = [line for line in cli("inspect", made).out.splitlines() if "measure it with" in line]
    measure = shlex.split(line.partition(": ")[2])
    assert measure[1:3] == ["parity", str(made)]
    assert measure[5:] == build[2:] == (["--engine", "openvino"] if precision == "bfloat16" else [])


def test_where_no_engine_works_the_ones_that_would_are_named(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = make_tensors(tmp_path / "a.bundle", PRODUCT)
    monkeypatch.setattr(Backend, "version", lambda backend: None)
    outcome = cli("quantize", bundle.path, "--precision", "bfloat16", "-o", tmp_path / "b.bundle")
    assert next_of(outcome) == ["doctor"]
    assert "note: bfloat16 takes one of the engines onnxruntime-cuda, openvino, tensorrt-rtx, tensorrt" in outcome.out
