"""Plain tensors from the command line: run, compare, look at, and what is told when something is wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import vpp_deploy
from tests.cli.conftest import Cli
from tests.tasks.tensors.models import numbers, pictures, stacked
from vpp_deploy.bundle import Bundle
from vpp_deploy.errors import ExitCode
from vpp_deploy.tasks.tensors.session import TensorSession

Leftovers = Callable[[], list[str]]


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """Four frames for the model with a state."""
    np.savez(tmp_path / "inputs.npz", **stacked(pictures(4)))  # type: ignore[arg-type]
    return tmp_path / "inputs.npz"


def test_outputs_are_written_as_arrays_and_described_as_lines(
    memory: Bundle, cli: Cli, inputs: Path, tmp_path: Path, leftovers: Leftovers
) -> None:
    out, lines = tmp_path / "outputs.npz", tmp_path / "outputs.jsonl"
    outcome = cli("infer", memory.path, inputs, "-o", out, "--json", lines)
    assert (outcome.code, outcome.err) == (0, "")
    assert f"{inputs}: 4 frames in" in outcome.out
    assert str(out) in outcome.out
    session = TensorSession(vpp_deploy.load_engine(memory))
    expected = stacked([session(frame) for frame in pictures(4)])
    with np.load(out) as written:
        assert sorted(written.files) == ["kept", "logits"]
        assert all(np.array_equal(written[name], array) for name, array in expected.items())
    records = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [record["frame"] for record in records] == [0, 1, 2, 3]
    logits = records[2]["outputs"]["logits"]
    assert (logits["shape"], logits["dtype"], logits["non_finite"]) == ([1, 3], "float32", 0)
    assert logits["minimum"] == pytest.approx(expected["logits"][2].min())
    assert records[0]["outputs"]["kept"]["dtype"] == "int32"
    assert leftovers() == []


def test_a_video_and_a_limit(memory: Bundle, cli: Cli, clip: Path, tmp_path: Path) -> None:
    outcome = cli("infer", memory.path, clip, "-o", tmp_path / "out.npz", "--max-frames", 2)
    assert outcome.code == 0
    assert "2 frames in" in outcome.out
    with np.load(tmp_path / "out.npz") as written:
        assert written["logits"].shape == (2, 1, 3)


def test_a_model_without_state(sums: Bundle, cli: Cli, tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", **stacked(numbers(3)))  # type: ignore[arg-type]
    assert cli("infer", sums.path, tmp_path / "in.npz", "-o", tmp_path / "out.npz").code == 0
    with np.load(tmp_path / "out.npz") as written:
        np.testing.assert_allclose(written["sum"], [frame["values"].sum(1) for frame in numbers(3)], rtol=1e-5)


def test_values_that_are_no_numbers_are_counted(sums: Bundle, cli: Cli, tmp_path: Path) -> None:
    frames = numbers(1)
    frames[0]["values"][0, 0] = np.nan
    np.savez(tmp_path / "in.npz", **stacked(frames))  # type: ignore[arg-type]
    command = ["infer", sums.path, tmp_path / "in.npz", "--json", tmp_path / "out.jsonl"]
    cli(*command).assert_one_line_error(
        ExitCode.BAD_INPUT, "frame 0: of sum, 1 of 2 values", "NaN", "--allow-nonfinite"
    )
    assert cli(*command, "--allow-nonfinite").code == 0
    (record,) = map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())
    assert record["outputs"]["sum"]["non_finite"] == 1


def test_what_is_wrong_is_one_line_and_leaves_nothing(
    memory: Bundle, sums: Bundle, cli: Cli, inputs: Path, clip: Path, tmp_path: Path
) -> None:
    (tmp_path / "text.npz").write_text("numbers")
    np.savez(tmp_path / "pickled.npz", frame=np.array([print, {}], object))
    np.savez(tmp_path / "none.npz", frame=np.zeros((0, 1, 16, 24, 3), np.uint8))
    np.savez(tmp_path / "uneven.npz", values=np.zeros((3, 2, 5), np.float32), steps=np.zeros((4, 2), np.int32))
    before = set(tmp_path.rglob("*"))
    outputs = ("-o", tmp_path / "out.npz", "--json", tmp_path / "out.jsonl")
    for bundle, words, code, message in [
        (memory, (tmp_path / "no.npz", *outputs), ExitCode.BAD_INPUT, "no such file"),
        (memory, (tmp_path / "text.npz", *outputs), ExitCode.BAD_INPUT, "cannot be read as a file of numpy arrays"),
        (memory, (tmp_path / "pickled.npz", *outputs), ExitCode.BAD_INPUT, "cannot be read as a file of numpy arrays"),
        (memory, (tmp_path / "none.npz", *outputs), ExitCode.USAGE, "there is no frame in it"),
        (sums, (inputs, *outputs), ExitCode.USAGE, "holds frame; the model takes values"),
        (sums, (tmp_path / "uneven.npz", *outputs), ExitCode.USAGE, "differ in length"),
        (sums, (clip, *outputs), ExitCode.USAGE, "give an .npz file of such arrays"),
        (memory, (inputs, "-o", tmp_path / "out.mp4"), ExitCode.BAD_INPUT, "written as .npz"),
        (memory, (inputs, "-o", tmp_path / "no" / "out.npz"), ExitCode.BAD_INPUT, "is not a folder that exists"),
        (memory, (inputs, "-o", inputs), ExitCode.USAGE, "would overwrite"),
        (memory, (inputs, "-o", tmp_path / "o.npz", "--json", tmp_path / "o.npz"), ExitCode.USAGE, "another output"),
        (memory, (inputs, "--top", 3), ExitCode.USAGE, "--top: for classification models, not for tensors-test:mem"),
        (memory, (inputs, "--youtube-vis", "x.json"), ExitCode.USAGE, "--youtube-vis: for instance segmentation"),
    ]:
        cli("infer", bundle.path, *words).assert_one_line_error(code, message)
    assert set(tmp_path.rglob("*")) == before


def test_an_output_that_was_there_survives_an_error(memory: Bundle, cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "out.npz"
    out.write_bytes(b"precious")
    cli("infer", memory.path, tmp_path / "no.npz", "-o", out).assert_one_line_error(ExitCode.BAD_INPUT, "no such file")
    assert out.read_bytes() == b"precious"


def test_parity_is_measured_shown_and_kept(memory: Bundle, cli: Cli, inputs: Path, tmp_path: Path) -> None:
    own = Path(shutil.copytree(memory.path, tmp_path / "own.bundle"))
    assert "not measured yet" in cli("inspect", own).out
    report = tmp_path / "report.json"
    outcome = cli("parity", own, "--input", inputs, "--json", report)
    assert (outcome.code, outcome.err) == (0, "")
    for words in ("logits", "memory", "age", "kept", "Parity: passed", "the source has 4 of the 30 frames asked for"):
        assert words in outcome.out
    whole = json.loads(report.read_text())
    assert (whole["passed"], whole["frames"], whole["source"]) == (True, 4, "inputs.npz")
    assert len(whole["per_frame"]) == 4
    page = cli("inspect", own).out
    assert "passed on 4 frames of inputs.npz" in page


def test_parity_errors_are_one_line(memory: Bundle, sums: Bundle, cli: Cli, inputs: Path, tmp_path: Path) -> None:
    before = set(tmp_path.rglob("*"))
    for bundle, words, code, message in [
        (memory, ("--input", tmp_path / "no.npz"), ExitCode.BAD_INPUT, "no such file"),
        (sums, ("--input", inputs), ExitCode.USAGE, "holds frame; the model takes values"),
        (memory, ("--input", inputs, "--task", tmp_path), ExitCode.USAGE, "--task"),
        (memory, ("--input", inputs, "--engine", "none"), ExitCode.USAGE, "unknown engine 'none'"),
    ]:
        outcome = cli("parity", bundle.path, *words, "--json", tmp_path / "report.json")
        outcome.assert_one_line_error(code, message)
    assert set(tmp_path.rglob("*")) == before


def test_inspect_shows_tensors_and_state(memory: Bundle, sums: Bundle, cli: Cli) -> None:
    page = cli("inspect", memory.path).out
    for words in (
        "tensors-test:memory in",
        "tensors-test",  # the family
        "[1, 16, 24, 3]",
        "state_in_00_memory",
        "state_out_01_age",
        "[1, 6, 8]",
        "memory Memory",  # weights from memory, of the class Memory
        f"vpp-deploy parity {memory.path} --input INPUTS.npz",
    ):
        assert words in page, words
    assert "none (every call stands for itself)" in cli("inspect", sums.path).out
    manifest = json.loads(cli("inspect", memory.path, "--json").out)["manifest"]
    assert [state["name"] for state in manifest["state"]] == ["memory", "age"]


def test_from_a_name_to_an_engine(sums: Bundle, cli: Cli, tmp_path: Path) -> None:
    bundle = tmp_path / "new.bundle"
    made = cli("export", "tensors-test:memory", "--random-weights", "-o", bundle)
    assert made.code == 0
    assert f"{bundle}: tensors-test:memory, keep 6, 1 input, 2 outputs, 2 state tensors" in made.out
    assert made.err == "warning: the weights are random and untrained: outputs will mean nothing\n"
    built = cli("build-engine", bundle)
    assert built.code == 0
    assert built.out.endswith(f"next: vpp-deploy infer {bundle} VIDEO -o outputs.npz\n")  # a model of pictures
    own = Path(shutil.copytree(sums.path, tmp_path / "own.bundle"))
    assert cli("build-engine", own).out.endswith(f"next: vpp-deploy infer {own} INPUTS.npz -o outputs.npz\n")
