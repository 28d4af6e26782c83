"""What is wrong with a call is said before any work, and before a word about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from vpp_deploy.bundle import Bundle
from vpp_deploy.errors import ExitCode

FLOAT16 = ("--precision", "float16")


@pytest.mark.parametrize(
    "words",
    [
        ("export", "vpp-micro", "--random-weights", "-o", "{none}/a.bundle"),
        ("quantize", "{bundle}", *FLOAT16, "-o", "{none}/a.bundle"),
        ("infer", "{bundle}", "{clip}", "-o", "{none}/a.mp4"),
        ("infer", "{bundle}", "{clip}", "--json", "{none}/a.jsonl"),
        ("infer", "{bundle}", "{clip}", "--youtube-vis", "{none}/a.json"),
        ("infer", "{bundle}", "{clip}", "{clip}", "--json", "{none}/lines"),
        ("live", "{bundle}", "{clip}", "--json", "{none}/lines"),
        ("parity", "{bundle}", "--input", "{clip}", "--json", "{none}/a.json"),
        ("parity", "{bundle}", "--input", "{clip}", "--report", "{none}/a.html"),
        ("evaluate", "{bundle}", "--data", "{none}", "--json", "{none}/a.json"),
        ("benchmark", "{bundle}", "--json", "{none}/a.json"),
        ("benchmark", "{bundle}", "--plot", "{none}/a.svg"),
        ("report", "{bundle}", "-o", "{none}/a.html"),
    ],
    ids=lambda words: f"{words[0]} {words[-2]}",
)
def test_a_folder_that_is_not_there_is_found_before_the_bundle_is_read(
    words: tuple[str, ...], cli: Cli, clip: Path, tmp_path: Path
) -> None:
    """The bundle is none: were it looked at, the error would be about that."""
    place = {"none": tmp_path / "none", "bundle": tmp_path / "no.bundle", "clip": clip}
    outcome = cli(*(word.format(**place) for word in words))
    outcome.assert_one_line_error(ExitCode.BAD_INPUT, f"{place['none']} is not a folder that exists")
    assert outcome.out == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--frames", 7, "--data", "{clip}"), "7 frames are not enough"),
        ((), "takes data to measure on"),
        ((*FLOAT16, "--data", "{clip}"), "leave the data out"),
        ((*FLOAT16, "--ranges", "max"), "a choice for int8 and fp8"),
        (("--auto", "2", "--data", "{clip}"), "the bound of the error is 2"),
        (("--precision", "int4"), "precision 'int4'"),
    ],
)
def test_quantize_says_nothing_before_it_refuses(
    words: tuple[object, ...], message: str, papr_bundle: Bundle, cli: Cli, clip: Path, tmp_path: Path
) -> None:
    given = [str(word).format(clip=clip) for word in words]
    outcome = cli("quantize", papr_bundle.path, "-o", tmp_path / "a.bundle", *given)
    outcome.assert_one_line_error(ExitCode.USAGE, message)
    assert outcome.out == ""


@pytest.mark.parametrize("command", ["export", "quantize"])
def test_a_bundle_that_is_there_is_said_at_once(command: str, papr_bundle: Bundle, cli: Cli, tmp_path: Path) -> None:
    there = tmp_path / "there.bundle"
    there.mkdir()
    words = ["vpp-micro", "--random-weights"] if command == "export" else [papr_bundle.path, *FLOAT16]
    outcome = cli(command, *words, "-o", there)
    outcome.assert_one_line_error(ExitCode.BAD_INPUT, "exists already: choose another name, or replace it")
    assert outcome.out == ""


def test_evaluate_knows_its_engines_before_it_reads(cli: Cli, tmp_path: Path) -> None:
    words = ["evaluate", tmp_path / "no.bundle", "--data", tmp_path / "none", "--engine", "tensorflow"]
    cli(*words).assert_one_line_error(ExitCode.USAGE, "unknown engine 'tensorflow'")
