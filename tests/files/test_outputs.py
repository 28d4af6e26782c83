from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from vpp_deploy.errors import OutputError
from vpp_deploy.files import streams
from vpp_deploy.files.outputs import OutputFile, OutputGroup, OutputWriter, fitting, partial_name
from vpp_deploy.media.json_lines import JsonLinesFile


def write(path: Path, text: str) -> None:
    output = OutputFile(path)
    output.write(text.encode())
    output.commit()


@pytest.mark.parametrize("name", ["x", "n" * 236, "n" * 255, "é" * 127, os.fsdecode(b"\xff\xfe"), "a\nb", "\u2028"])
def test_a_file_is_replaced_when_it_is_complete(tmp_path: Path, name: str) -> None:
    target = tmp_path / name
    for text in ("one", "two"):
        write(target, text)
        assert target.read_text() == text
    output = OutputFile(target)
    output.write(b"half")
    output.discard()
    assert target.read_text() == "two"
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path: Path, there: bool) -> None:
    (tmp_path / "deep").mkdir()
    if there:
        (tmp_path / "deep" / "target").write_text("old")
    (tmp_path / "link").symlink_to("deep/target")
    write(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "deep" / "target").read_text() == "new"
    assert os.listdir(tmp_path / "deep") == ["target"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("folder", "this is a folder"),
        ("none/x", "is not a folder that exists"),
        ("file/x", "Not a directory"),
        ("loop", "Too many levels of symbolic links"),
        ("n" * 256, "File name too long"),
        ("n" * 5000, "File name too long"),
        ("a\0b", "null byte"),
    ],
)
def test_what_cannot_be_written_is_refused_at_once(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(OutputError, match=reason):
        OutputFile(tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == before


def test_a_relative_name_in_a_working_folder_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(OutputError, match="the working folder does not exist any more"):
        OutputFile("x")


def test_a_fifo_gets_the_lines_as_they_come_and_stays(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    got: list[str] = []

    def read() -> None:
        with fifo.open() as file:
            got.extend(file)

    reader = threading.Thread(target=read)
    reader.start()
    with JsonLinesFile(fifo) as lines:
        lines.append({"frame": 0})
        lines.append({"frame": 1})
    reader.join()
    assert got == ['{"frame": 0}\n', '{"frame": 1}\n']
    assert stat.S_ISFIFO(os.lstat(fifo).st_mode)


def test_a_reader_that_goes_away_ends_the_writing_without_an_error(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    with JsonLinesFile(fifo) as lines:
        lines.append({"frame": 0})
        os.close(reader)
        for frame in range(100):
            lines.append({"frame": frame, "much": "x" * 9999})
    assert os.listdir(tmp_path) == ["fifo"]


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs Linux")
@pytest.mark.parametrize("folder", ["/dev/fd", "/proc/self/fd"])
@pytest.mark.parametrize("unlinked", [True, False])
def test_a_descriptor_is_written_to_where_it_stands(tmp_path: Path, folder: str, unlinked: bool) -> None:
    with (tmp_path / "log").open("w+") as file:
        file.write("before\n")
        file.flush()
        if unlinked:
            (tmp_path / "log").unlink()
        write(Path(folder, str(file.fileno())), "after\n")
        file.seek(0)
        assert file.read() == "before\nafter\n"
    assert os.listdir(tmp_path) == ([] if unlinked else ["log"])


class StopError(Exception):
    pass


def stop(number: int, frame: object) -> None:
    raise StopError


def write_lines(path: Path) -> None:
    with JsonLinesFile(path) as lines:
        while True:
            lines.append({"text": "x" * 1000})


def write_at_once(path: Path) -> None:
    output = OutputFile(path)
    try:
        output.write(b"x" * 1_000_000)
    finally:
        output.discard()


BLOCKED = """
import signal, sys
from pathlib import Path
from tests.files import test_outputs

signal.signal(signal.SIGALRM, test_outputs.stop)
signal.setitimer(signal.ITIMER_REAL, 0.3)  # the pipe is full long before
try:
    getattr(test_outputs, sys.argv[2])(Path(sys.argv[1]))
except test_outputs.StopError:
    print("stopped")
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs POSIX timers")
@pytest.mark.parametrize("writing", [write_lines, write_at_once])
def test_a_reader_that_has_stopped_reading_does_not_keep_a_run_from_ending(
    tmp_path: Path, writing: Callable[[Path], None]
) -> None:
    """In a process of its own: an alarm that goes wrong ends the process that it is for."""
    os.mkfifo(tmp_path / "fifo")
    reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    command = [sys.executable, "-c", BLOCKED, tmp_path / "fifo", writing.__name__]
    try:
        ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)
    finally:
        os.close(reader)
    assert (ended.returncode, ended.stdout) == (0, "stopped\n"), ended.stderr


def test_a_fifo_that_nobody_reads_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "READER_SECONDS", 0.1)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OutputError, match="nobody reads this FIFO"):
        OutputFile(tmp_path / "fifo")


def test_a_socket_is_written_to(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        server.listen()
        write(tmp_path / "socket", "text")
        connection, _ = server.accept()
        with connection:
            assert connection.recv(99) == b"text"
    assert stat.S_ISSOCK(os.lstat(tmp_path / "socket").st_mode)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
@pytest.mark.parametrize(("kind", "number"), [(stat.S_IFCHR, (1, 3)), (stat.S_IFBLK, (259, 1_000_000))])
def test_a_device_stays_and_a_disk_is_refused(tmp_path: Path, kind: int, number: tuple[int, int]) -> None:
    device = tmp_path / "device"
    os.mknod(device, kind | 0o600, os.makedev(*number))
    (tmp_path / "link").symlink_to("device")
    for path in (device, tmp_path / "link"):
        if kind == stat.S_IFCHR:
            write(path, "text")
        else:
            with pytest.raises(OutputError, match="this is a disk"):
                OutputFile(path)
    assert stat.S_IFMT(os.lstat(device).st_mode) == kind
    assert sorted(os.listdir(tmp_path)) == ["device", "link"]


def test_what_needs_a_regular_file_says_so(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OutputError, match="not a regular file"):
        OutputFile(tmp_path / "fifo", seekable=True)


def test_our_own_standard_output_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    redirected = tmp_path / "redirected"
    code = (
        "import sys; from vpp_deploy.files.outputs import OutputFile; print('before', flush=True);"
        "output = OutputFile(sys.argv[1]); output.write(b'result\\n'); output.commit(); print('after')"
    )
    for name in ("/dev/stdout", str(redirected)):
        with redirected.open("wb") as file:
            assert os.posix_spawn(
                sys.executable,
                [sys.executable, "-c", code, name],
                os.environ,
                file_actions=[(os.POSIX_SPAWN_DUP2, file.fileno(), 1)],
            )
            assert os.wait()[1] == 0
        assert redirected.read_text() == "before\nresult\nafter\n"


class Text(OutputWriter):
    """Writes its name; `fault` says when it fails."""

    def __init__(self, path: Path, fault: str = "") -> None:
        self.output, self.fault = OutputFile(path), fault

    def finish(self) -> None:
        if self.fault == "finish":
            raise OutputError("disk full")
        self.output.write(self.output.path.name.encode())

    def commit(self) -> None:
        self.output.commit()

    def discard(self) -> None:
        self.output.discard()
        if self.fault == "discard":
            raise OutputError("worse")


def test_outputs_of_a_run_appear_together(tmp_path: Path) -> None:
    with OutputGroup() as group:
        group.add(Text(tmp_path / "a"))
        group.add(Text(tmp_path / "b"))
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "a", "b": "b"}


@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("fault", ["finish", "work"])
def test_or_none_of_them_does(tmp_path: Path, fault: str, last: bool) -> None:
    (tmp_path / "a").write_text("old")
    bad = Text(tmp_path / "b", fault)

    def run() -> None:
        with OutputGroup() as group:
            lines = JsonLinesFile(tmp_path / "lines")
            for writer in (Text(tmp_path / "a", "discard"), lines, bad) if last else (bad, lines, Text(tmp_path / "a")):
                group.add(writer)
            lines.append({"frame": 0})
            if fault == "work":
                raise OutputError("the work failed")

    with pytest.raises(OutputError):
        run()
    kept = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert kept == {"a": "old", "lines.partial": '{"frame": 0}\n'}


def test_an_error_says_where_results_were_kept(tmp_path: Path) -> None:
    def run() -> None:
        with OutputGroup() as group:
            group.add(JsonLinesFile(tmp_path / "lines")).append({"frame": 0})
            raise OutputError("the work failed")

    with pytest.raises(OutputError) as caught:
        run()
    assert caught.value.__notes__ == [f"the results until then are in {tmp_path / 'lines.partial'}"]


@pytest.mark.parametrize("name", ["n" * 247, "n" * 248, "n" * 255, "é" * 127, "é" * 120, os.fsdecode(b"\xff" * 255)])
def test_partial_results_of_a_long_name(tmp_path: Path, name: str) -> None:
    def write() -> None:
        with JsonLinesFile(tmp_path / name) as lines:
            lines.append({})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()
    assert os.listdir(tmp_path) == [partial_name(tmp_path / name).name]
    assert len(os.fsencode(fitting(name, ".png"))) <= 255
    assert fitting("n" * 255, ".png") != fitting("n" * 254 + "m", ".png")


def take_the_name(path: Path) -> None:
    path.mkdir()


def take_the_folder(path: Path) -> None:
    shutil.rmtree(path.parent)


@pytest.mark.parametrize(("meanwhile", "left"), [(take_the_name, {"lines", "lines.partial"}), (take_the_folder, set())])
def test_a_name_that_is_lost_during_the_run_is_an_error_and_loses_nothing_else(
    tmp_path: Path, meanwhile: Callable[[Path], None], left: set[str]
) -> None:
    path = tmp_path / "out" / "lines"
    path.parent.mkdir()
    group = OutputGroup()
    group.add(JsonLinesFile(path)).append({"index": 0})
    meanwhile(path)
    with pytest.raises(OutputError, match="cannot be written") as caught, group:
        pass
    assert {entry.name for entry in tmp_path.rglob("lines*")} == left
    assert any("the results until then are" in note for note in caught.value.__notes__)
    assert not list(tmp_path.rglob(".vpp-*"))


def test_results_that_cannot_be_kept_do_not_hide_the_error(tmp_path: Path) -> None:
    (tmp_path / "lines.partial").mkdir()
    lines = JsonLinesFile(tmp_path / "lines")
    lines.append({"index": 0})
    with pytest.raises(StopError) as caught, lines:
        raise StopError
    (note,) = caught.value.__notes__
    assert "not kept" in note
    assert "lines.partial" in note
    assert os.listdir(tmp_path) == ["lines.partial"]
