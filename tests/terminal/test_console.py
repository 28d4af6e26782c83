from __future__ import annotations

import io
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from vpp_deploy.errors import OutputError
from vpp_deploy.terminal import console, progress
from vpp_deploy.terminal.streams import LastingStream

HOSTILE = "a\x1b[31mred\x1b]0;title\x07\x9b2J\u202egnp.exe\u2028\r\b"


def printed(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    return captured.out + captured.err


def assert_harmless(text: str) -> None:
    assert [char for char in text if not char.isprintable() and char != "\n"] == []


def print_everywhere(text: str) -> None:
    console.say(text)
    console.say(Text.assemble(("bold", "bold"), text))
    console.show(console.facts([(text, text), ("x", Text(text, "red"))]))
    table = console.table("header", text, title=text)
    table.add_row(text, Text(text))
    console.show(table)
    console.show(Text(text))
    console.heading(text)
    console.next_command("vpp-deploy", text)
    console.warn(text)
    console.fail("error", text)
    with progress.phase_bar() as phase:
        phase(text)
    with progress.step_bar(text) as bar:
        bar(text, 0.5)


def test_no_text_of_others_reaches_the_terminal_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    print_everywhere(HOSTILE)
    text = printed(capsys)
    assert_harmless(text)
    assert r"\x1b[31mred" in text


@given(st.text())
def test_nor_does_any_other(text: str) -> None:
    before = sys.stdout, sys.stderr
    sys.stdout = sys.stderr = stream = io.StringIO()
    try:
        print_everywhere(text)
    finally:
        sys.stdout, sys.stderr = before
    assert_harmless(stream.getvalue())


def test_a_line_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for message in ("a\nb", Text.assemble("a", ("\nb", "bold"))):
        console.say(message)
        console.warn(str(message))
    assert capsys.readouterr().out.splitlines() == [r"a\nb"] * 2


@pytest.mark.parametrize("columns", ["0", "1", "", "-5", "many", "9" * 30, "1e3", "²"])
def test_a_width_that_is_none_is_ignored(
    columns: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    print_everywhere("shown")
    assert printed(capsys).count("shown") >= 14


def test_one_is_no_plural() -> None:
    assert [console.counted(number, "frame") for number in (0, 1, 2)] == ["0 frames", "1 frame", "2 frames"]


def test_a_width_is_kept_to(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    console.show(console.facts([("name", "long " * 40)]))
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 40


def test_colours_that_are_forced_bring_no_movement(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    print_everywhere("text")
    with progress.frame_bar() as frames, progress.video_bar() as videos:
        frames(1, 2)
        videos(1, 2, "text")
    text = printed(capsys)
    codes = text.split("\x1b[")[1:]
    assert codes
    assert all(code.lstrip("0123456789;").startswith("m") for code in codes)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no such device")
def test_a_full_stream_takes_everything_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    try:
        stream = LastingStream(descriptor, "utf-8")
        monkeypatch.setattr(sys, "stdout", stream)
        console.say("x" * 100_000)
        stream.flush()
        assert stream.problem == "No space left on device"
        with pytest.raises(OutputError, match="standard output cannot be written: No space left"):
            console.print_json({"a": 1})
    finally:
        monkeypatch.undo()
        os.close(descriptor)


def test_a_pipe_that_nobody_reads_is_no_problem() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    stream = LastingStream(writer, "ascii")
    stream.write("é" * 100_000)
    stream.flush()
    assert stream.problem is None
    os.close(writer)


PROGRAM = """
import sys
from vpp_deploy.terminal import console
from vpp_deploy.terminal.streams import lasting
with lasting():
    console.say("out")
    console.warn("err")
    file = open(sys.argv[1], "w")
    assert file.fileno() > 2
sys.exit(7)
"""


@pytest.mark.parametrize("closed", ["", ">&-", "2>&-", "<&-", ">&- 2>&-", "<&- >&- 2>&-", "| head -c 1", "> /dev/full"])
@pytest.mark.parametrize("language", ["C", "C.UTF-8"])
def test_the_exit_status_is_that_of_the_work(closed: str, language: str, tmp_path: object) -> None:
    script = f'"$0" -c "$1" "$2" {closed}; exit ${{PIPESTATUS[0]}}'
    done = subprocess.run(
        ["bash", "-c", script, sys.executable, PROGRAM, f"{tmp_path}/file"],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "LANG": language},
    )
    assert done.returncode == 7
    expected = [] if "2>&-" in closed else ["warning: err"]
    if "full" in closed:
        expected.append("warning: standard output could not be written: No space left on device")
    assert done.stderr.splitlines() == expected
