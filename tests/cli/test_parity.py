from __future__ import annotations

import json
import shutil
from pathlib import Path

import onnx
import pytest
from onnx import numpy_helper

from tests.cli.conftest import Cli
from tests.cli.test_bundle_errors import ENGINE
from tests.tasks.segmentation.evaluation.datasets import write_dataset
from vpp_deploy.bundle import Bundle, sha256_of_file
from vpp_deploy.engines.engine_record import ENGINE_RECORD_FILE
from vpp_deploy.errors import ExitCode


def test_parity_passes_and_is_noted_in_the_bundle(cli: Cli, bundle: Path, clip: Path, tmp_path: Path) -> None:
    target = tmp_path / "report.json"
    outcome = cli("parity", bundle, "--input", clip, "--frames", 3, "--json", target)
    assert (outcome.code, outcome.err) == (0, "")
    assert "passed" in outcome.out
    report = json.loads(target.read_text())
    assert report["passed"] is True
    assert report["frames"] == 3
    shown = cli("inspect", bundle).out
    assert "passed on 3 frames of clip.mp4" in shown
    assert json.loads(cli("inspect", bundle, "--json").out)["parity"]["onnxruntime"]["passed"] is True


@pytest.fixture
def wrong_engine(bundle: Path) -> Path:
    """A bundle whose engine computes something else: the sign of one weight matrix is turned round."""
    folder = bundle / ENGINE
    weights = folder / "weights.safetensors"
    model = onnx.load(folder / "step.onnx", load_external_data=False)
    tensor = max(
        (t for t in model.graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL and len(t.dims) == 2),
        key=lambda t: t.dims[0] * t.dims[1],
    )
    place = {entry.key: entry.value for entry in tensor.external_data}
    start, length = int(place["offset"]), int(place["length"])
    data = bytearray(weights.read_bytes())
    onnx.load_external_data_for_model(model, str(folder))
    array = numpy_helper.to_array(tensor)
    data[start : start + length] = (-array).tobytes()
    weights.write_bytes(data)
    record = json.loads((folder / ENGINE_RECORD_FILE).read_text())
    record["files"]["weights.safetensors"]["sha256"] = sha256_of_file(weights)
    (folder / ENGINE_RECORD_FILE).write_text(json.dumps(record))
    return bundle


def test_a_wrong_engine_fails_with_its_own_exit_code_and_a_report(
    cli: Cli, wrong_engine: Path, clip: Path, tmp_path: Path
) -> None:
    target = tmp_path / "report.json"
    outcome = cli("parity", wrong_engine, "--video", clip, "--frames", 2, "--json", target)
    outcome.assert_one_line_error(ExitCode.PARITY, "does not compute what PyTorch computes")
    report = json.loads(target.read_text())
    assert report["passed"] is False
    assert report["problems"]
    assert "FAILED on 2 frames" in cli("inspect", wrong_engine).out


def test_a_report_that_cannot_be_written_fails_before_the_first_frame(
    cli: Cli, bundle: Path, clip: Path, tmp_path: Path
) -> None:
    outcome = cli("parity", bundle, "--video", clip, "--json", tmp_path / "none" / "report.json")
    outcome.assert_one_line_error(ExitCode.BAD_INPUT, "is not a folder")
    assert outcome.out == ""
    assert not (bundle / "parity").exists()


def test_parity_needs_a_video_and_an_engine(cli: Cli, bundle: Path, tmp_path: Path, clip: Path) -> None:
    cli("parity", bundle, "--video", tmp_path / "none.mp4").assert_one_line_error(ExitCode.BAD_INPUT, "no such file")
    shutil.rmtree(bundle / "engines")
    cli("parity", bundle, "--video", clip).assert_one_line_error(ExitCode.INCOMPATIBLE, "build-engine")


def test_a_damaged_parity_summary_does_not_stop_inspect(cli: Cli, micro_bundle: Bundle, bundle: Path) -> None:
    (bundle / "parity").mkdir()
    (bundle / "parity" / "onnxruntime.json").write_text('{"passed": true}')
    assert "measure it again" in cli("inspect", bundle).out
    (bundle / "parity" / "onnxruntime.json").write_text("{")
    cli("inspect", bundle).assert_one_line_error(ExitCode.BAD_INPUT, "onnxruntime.json", "vpp-deploy parity")


def test_the_accuracy_on_a_data_set_is_part_of_the_report(cli: Cli, bundle: Path, clip: Path, tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "valid", {number: [(1, [(5, 5, 25, 30)] * 3)] for number in (1, 2, 3)})
    target = tmp_path / "report.json"
    words = ["parity", bundle, "--video", clip, "--frames", 2, "--task", data]
    outcome = cli(*words, "--task-videos", 2, "--json", target)
    assert (outcome.code, outcome.err) == (0, "")
    assert "Task: average precision in percent, 2 videos (6 frames) of valid" in outcome.out
    task = json.loads(target.read_text())["task"]
    assert (task["videos"], task["frames"], set(task["differences"])) == (2, 6, {"ap_track", "map_bbox", "map_segm"})
    assert "passed on 2 frames" in cli("inspect", bundle).out


def test_a_data_set_with_a_fault_ends_parity_before_the_first_frame(
    cli: Cli, bundle: Path, clip: Path, tmp_path: Path
) -> None:
    outcome = cli("parity", bundle, "--video", clip, "--task", tmp_path)
    outcome.assert_one_line_error(ExitCode.BAD_INPUT, str(tmp_path), "no annotation file")
    assert outcome.out == ""
