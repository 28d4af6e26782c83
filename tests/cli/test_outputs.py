"""No command writes over what it reads, whatever it is asked for; and what is asked for is within bounds."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.conftest import Cli
from tests.tasks.segmentation.evaluation.datasets import write_dataset
from vpp_deploy.cli.commands import whole
from vpp_deploy.errors import ExitCode
from vpp_deploy.files.outputs import partial_name
from vpp_deploy.media import writer

IN_BUNDLE = ("manifest.json", "weights.safetensors", "engines/onnxruntime/engine.json", "new.json", ".", "..")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    for number in range(2):
        Image.new("RGB", (90, 60)).save(tmp_path / "photos" / f"{number}.png")
    return tmp_path / "photos"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "data", {1: [(1, [(5, 5, 25, 30)] * 3)]})


def refused(cli: Cli, folder: Path, *words: object) -> None:
    """The command is a usage error, and nothing has changed."""
    before = contents(folder)
    cli(*words).assert_one_line_error(ExitCode.USAGE, "which is read")
    assert contents(folder) == before


@pytest.mark.parametrize("option", ["-o", "--json", "--youtube-vis"])
@pytest.mark.parametrize("target", ["photos/0.png", "photos/new.mp4", "photos", "hard.png", "link/x"])
def test_infer_does_not_write_into_its_images(
    option: str, target: str, cli: Cli, bundle: Path, photos: Path, tmp_path: Path
) -> None:
    os.link(photos / "1.png", tmp_path / "hard.png")
    (tmp_path / "link").symlink_to("photos")
    refused(cli, tmp_path, "infer", bundle, photos, option, tmp_path / target)


@pytest.mark.parametrize("name", IN_BUNDLE)
def test_no_command_writes_into_the_bundle_that_it_reads(
    name: str, cli: Cli, bundle: Path, clip: Path, data: Path, tmp_path: Path
) -> None:
    target = bundle / name
    refused(cli, tmp_path, "infer", bundle, clip, "--json", target)
    refused(cli, tmp_path, "evaluate", bundle, "--data", data, "--json", target)
    refused(cli, tmp_path, "evaluate", bundle, "--data", data, "--work", target)
    refused(cli, tmp_path, "parity", bundle, "--input", clip, "--json", target)
    refused(cli, tmp_path, "build-engine", bundle, "--engine", "tensorrt-rtx", "--timing-cache", target)


def test_parity_and_evaluate_keep_what_they_read(
    cli: Cli, bundle: Path, clip: Path, data: Path, tmp_path: Path
) -> None:
    annotations = shutil.copyfile(data / "instances.json", tmp_path / "annotations.json")
    words = ["evaluate", bundle, "--data", data, "--annotations", annotations]
    refused(cli, tmp_path, "parity", bundle, "--input", clip, "--json", clip)
    refused(cli, tmp_path, "parity", bundle, "--input", clip, "--task", data, "--json", data / "instances.json")
    refused(cli, tmp_path, *words, "--json", annotations)
    refused(cli, tmp_path, *words, "--json", data / "scores.json")
    refused(cli, tmp_path, "evaluate", "--predictions", annotations, "--data", data, "--json", annotations)
    frames = (data / "JPEGImages").rename(tmp_path / "frames")
    (data / "JPEGImages").symlink_to(frames)
    frame = next(path for path in frames.rglob("*") if path.is_file())
    refused(cli, tmp_path, *words, "--json", frame)
    refused(cli, tmp_path, "evaluate", "--predictions", annotations, "--data", data, "--json", frame)
    beside = data.rename(tmp_path / "scores.json.work")  # where predictions are kept if nothing is said
    refused(cli, tmp_path, "evaluate", bundle, "--data", beside, "--json", tmp_path / "scores.json")


def test_export_does_not_replace_what_holds_its_checkpoint(cli: Cli, bundle: Path, tmp_path: Path) -> None:
    words = ["--checkpoint", bundle / "weights.safetensors", "-o", bundle, "--overwrite"]
    refused(cli, tmp_path, "export", "vpp-micro", *words)


def test_parity_of_a_bundle_that_can_only_be_read(cli: Cli, bundle: Path, clip: Path) -> None:
    shutil.rmtree(bundle / "parity", ignore_errors=True)
    (bundle / "parity").write_text("in the way")  # as good as a read-only folder, which root would not mind
    outcome = cli("parity", bundle, "--input", clip, "--frames", 1)
    assert outcome.code == ExitCode.OK
    assert "passed" in outcome.out
    assert outcome.err.startswith("warning: the summary is not kept in the bundle: ")
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ["infer", "", "x"],
        ["infer", "b", ""],
        ["infer", "b", "x", "--json", ""],
        ["infer", "b", "x", "--json="],
        ["export", "", "-o", "x"],
        ["demo-data", ""],
    ],
)
def test_an_empty_name_is_a_usage_error(words: list[str], cli: Cli) -> None:
    cli(*words).assert_one_line_error(ExitCode.USAGE, "give a name, or leave it out")


def whole_numbers() -> Iterator[tuple[str, str]]:
    """Commands and their options of whole numbers, which typer's versions tell in two ways."""
    for name, command in whole().commands.items():
        for option in command.params:
            kind = getattr(option, "type_descriptor", None)
            number = "int" in str(kind.annotation) if kind else option.type.name.startswith("integer")
            if number and option.param_type_name == "option":
                yield name, option.opts[0]


@pytest.mark.parametrize(("command", "option"), list(whole_numbers()))
def test_every_number_has_bounds(command: str, option: str, cli: Cli) -> None:
    for wrong in (10**100, 2**63, 2**33, -1, -(10**100)):
        cli(command, f"{option}={wrong}").assert_one_line_error(ExitCode.USAGE, f"invalid value for '{option}'")


def test_of_three_outputs_none_appears_when_the_last_fails(
    cli: Cli, bundle: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full when the video's index is written."""
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    full = os.open("/dev/full", os.O_WRONLY)
    encode = writer.VideoWriter._encode

    def fill(self: writer.VideoWriter, frame: object) -> None:
        encode(self, frame)
        if frame is None:
            os.write(full, b"x")

    monkeypatch.setattr(writer.VideoWriter, "_encode", fill)
    words = ["-o", outputs / "x.mp4", "--json", outputs / "x.jsonl", "--youtube-vis", outputs / "x.json"]
    outcome = cli("infer", bundle, clip, *words)
    os.close(full)
    kept = partial_name(outputs / "x.jsonl")
    outcome.assert_one_line_error(ExitCode.BAD_INPUT, "No space left on device", f"results until then are in {kept}")
    assert list(outputs.iterdir()) == [kept]
    assert len(kept.read_text().splitlines()) == 4
