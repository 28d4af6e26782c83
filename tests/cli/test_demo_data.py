from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from vpp_deploy.demo import dataset
from vpp_deploy.errors import ExitCode

SMALL = ("--clips", 2, "--frames", 3, "--size", "64x96")


def test_a_data_set_is_written(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "shapes"
    outcome = cli("demo-data", folder, *SMALL, "--split", "hard", "--seed", 4)
    assert (outcome.code, outcome.err) == (0, "")
    content = json.loads((folder / "instances.json").read_text())
    assert outcome.out.startswith(f"{folder}: 2 videos of 3 frames, 64x96, {len(content['annotations'])} objects\n")
    assert str(folder / "instances.json") in outcome.out
    names = [name for video in content["videos"] for name in video["file_names"]]
    assert names[0] == "hard-4-00000/00000.jpg"
    assert len(names) == 6
    assert all((folder / "JPEGImages" / name).is_file() for name in names)


def test_an_existing_data_set_needs_overwrite(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "shapes"
    assert cli("demo-data", folder, *SMALL).code == 0
    cli("demo-data", folder, *SMALL).assert_one_line_error(ExitCode.BAD_INPUT, str(folder), "is not empty")
    assert cli("demo-data", folder, *SMALL, "--overwrite").code == 0


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--clips", 0), ("'--clips'", "demo-data --help")),
        (("--frames", 0), ("'--frames'", "demo-data --help")),
        (("--seed", -1), ("'--seed'", "demo-data --help")),
        (("--split", "test"), ("'test'", "train, val, hard")),
        (("--size", "256"), ("'256'", "HEIGHTxWIDTH")),
        (("--size", "32x96"), ("size=32x96", "64 to 4096")),
        (("--size", "99999x96"), ("size=99999x96", "64 to 4096")),
    ],
)
def test_options_that_make_no_sense(
    cli: Cli, tmp_path: Path, words: tuple[object, ...], expected: tuple[str, ...]
) -> None:
    outcome = cli("demo-data", tmp_path / "shapes", *SMALL, *words)
    outcome.assert_one_line_error(ExitCode.USAGE, *expected)
    assert not list(tmp_path.iterdir())


def test_ctrl_c_leaves_nothing(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leftovers: Callable[[], list[str]]
) -> None:
    def interrupt(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(dataset, "track_entries", interrupt)
    outcome = cli("demo-data", tmp_path / "shapes", *SMALL)
    assert outcome.code == 130
    assert outcome.err == "interrupted: stopped by Ctrl-C\n"
    assert not (tmp_path / "shapes").exists()
    assert not leftovers()
