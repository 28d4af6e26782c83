from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vpp_deploy.errors import OutputError, UsageError
from vpp_deploy.files.separation import check_outputs


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(b"picture")
    (tmp_path / "in" / "deep").mkdir()
    (tmp_path / "in" / "deep" / "b.png").write_bytes(b"picture")
    (tmp_path / "clip.mp4").write_bytes(b"video")
    (tmp_path / "link").symlink_to("in")
    (tmp_path / "link.mp4").symlink_to("clip.mp4")
    os.link(tmp_path / "in" / "deep" / "b.png", tmp_path / "hard.png")
    os.link(tmp_path / "clip.mp4", tmp_path / "hard.mp4")
    os.mkfifo(tmp_path / "in" / "fifo")
    return tmp_path


def test_what_lies_apart_is_allowed(place: Path) -> None:
    check_outputs([place / "out", place / "out.jsonl", place / "in.jsonl"], inputs=[place / "in"])
    check_outputs([place / "clip.jsonl"], inputs=[place / "clip.mp4", place / "in" / "a.png"])
    check_outputs([place / "in" / "b.jsonl"], inputs=[place / "in" / "a.png"])
    check_outputs([place / "in" / "fifo"], inputs=[place / "in"])
    check_outputs([place / "x"], inputs=[place / "not there"])


@pytest.mark.parametrize(
    "output",
    ["in", "in/a.png", "in/new.jsonl", "in/deep/new", "link/a.png", "link", "in/../in/x", ".", "hard.png"],
)
def test_an_output_in_a_folder_that_is_read(place: Path, output: str) -> None:
    with pytest.raises(UsageError, match="which is read"):
        check_outputs([place / "fine", place / output], inputs=[place / "link"])


@pytest.mark.parametrize("output", ["clip.mp4", "link.mp4", "hard.mp4", "in/../clip.mp4", "."])
def test_an_output_over_a_file_that_is_read(place: Path, output: str) -> None:
    for source in ("clip.mp4", "link.mp4"):
        with pytest.raises(UsageError, match="which is read"):
            check_outputs([place / output], inputs=[place / source])


@pytest.mark.parametrize(("first", "second"), [("a", "a"), ("a", "a/b"), ("a/b", "a"), ("in/../a", "a")])
def test_an_output_over_another_output(place: Path, first: str, second: str) -> None:
    with pytest.raises(UsageError, match="would overwrite another output"):
        check_outputs([place / first, place / second], inputs=[])


def test_thousands_of_outputs_and_inputs_are_not_compared_in_pairs(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each output looks at the folders above it, and not at every input."""
    inputs = [place / "in" / f"{number}.mp4" for number in range(2000)]
    known = os.stat(place / "clip.mp4")
    monkeypatch.setattr("vpp_deploy.files.separation._found", lambda path: None if "out" in str(path) else known)
    compared = []
    monkeypatch.setattr(Path, "is_relative_to", lambda *paths: compared.append(paths))
    monkeypatch.setattr(os.path, "samestat", lambda *files: compared.append(files))
    check_outputs([place / "out" / f"{number}.json" for number in range(2000)], inputs=inputs)
    assert not compared


def test_a_relative_output_in_a_working_folder_that_is_gone(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = place / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(OutputError, match="the working folder does not exist any more"):
        check_outputs([Path("out.jsonl")], inputs=[place / "clip.mp4"])
    check_outputs([place / "out.jsonl"], inputs=[place / "clip.mp4"])


def test_what_an_error_leaves_is_an_output_too(place: Path) -> None:
    (place / "clip.mp4").rename(place / "clip.partial")
    with pytest.raises(UsageError, match="is read, and"):
        check_outputs([place / "clip"], inputs=[place / "clip.partial"])


def test_standard_input_that_is_a_file_is_not_written_over(tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(b"film")
    program = "import sys; from pathlib import Path; from vpp_deploy.files.separation import check_outputs; "
    for output, refused in (("film.mp4", True), ("other.mp4", False)):
        call = "check_outputs([Path(sys.argv[1])], inputs=['-'])"
        with film.open("rb") as given:
            done = subprocess.run(
                [sys.executable, "-c", program + call, tmp_path / output], stdin=given, capture_output=True, text=True
            )
        assert ("would overwrite -, which is read" in done.stderr) == refused, done.stderr
        assert bool(done.returncode) == refused
