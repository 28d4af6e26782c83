"""Steps of `benchmarks.on_gpu`: commands with a limit, and what came of them."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).parents[1]
LAST_LINES = 12
Result = Literal["passed", "failed", "timed out", "not run"]


@dataclass
class Step:
    """One command and what came of it.

    Attributes:
        name: what it is for.
        subject: what the step tells something about: a row of the summary; "" for none.
        part: which column of that row.
        command: as it was run; "" if it was not.
        result: how it ended.
        reason: why it was not run; None if it was.
        status: its exit status; None if it has none.
        seconds: wall time.
        last_words: the end of what it printed.
        figures: what it measured, from the JSON that it wrote.
    """

    name: str
    subject: str = ""
    part: str = ""
    command: str = ""
    result: Result = "not run"
    reason: str | None = None
    status: int | None = None
    seconds: float = 0.0
    last_words: list[str] = field(default_factory=list)
    figures: Any = None

    @property
    def passed(self) -> bool:
        """It ended well."""
        return self.result == "passed"


def not_run(name: str, reason: str, subject: str = "", part: str = "") -> Step:
    """A step that cannot be taken here, which is no failure."""
    print(f"{name}: not run: {reason}", flush=True)
    return Step(name, subject, part, reason=reason)


def run(
    name: str, *command: str | Path, limit: float, subject: str = "", part: str = "", figures: Path | None = None
) -> Step:
    """Run a command and report it; it may fail.

    Args:
        name: what it is for.
        command: its words.
        limit: seconds after which it is ended, with all that it has started.
        subject: see `Step`.
        part: see `Step`.
        figures: the JSON that it writes.
    """
    words = [str(word) for word in command]
    step = Step(name, subject, part, shlex.join(words))
    print(f"{name}: {step.command}", flush=True)
    if figures is not None:
        figures.unlink(missing_ok=True)
    begin = time.perf_counter()
    try:
        step.status, printed = _run(words, limit)
        step.result = "timed out" if step.status is None else "passed" if step.status == 0 else "failed"
    except OSError as error:
        step.reason, printed = f"{words[0]} cannot be started: {error.strerror}", ""
    step.seconds = round(time.perf_counter() - begin, 1)
    step.last_words = [line for line in printed.splitlines() if line.strip()][-LAST_LINES:]
    if figures is not None and figures.is_file():
        step.figures = json.loads(figures.read_text())
    print(f"  {step.result} in {step.seconds} s{f' ({step.reason})' if step.reason else ''}", flush=True)
    if not step.passed:
        print("  " + "\n  ".join(step.last_words), flush=True)
    return step


def _run(words: list[str], limit: float) -> tuple[int | None, str]:
    """The exit status, or None if the limit was reached, and what was printed."""
    with subprocess.Popen(
        words,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,  # so that what it starts can be ended with it
    ) as process:
        try:
            return_value = process.communicate(timeout=limit)[0]
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return None, process.communicate()[0]
        return process.returncode, return_value


def summary(steps: Sequence[Step]) -> dict[str, dict[str, str]]:
    """For each subject and each of its parts how it ended, or why it was not run: the rows of README's table."""
    rows: dict[str, dict[str, str]] = {}
    for step in steps:
        if step.subject:
            said = f"not run: {step.reason}" if step.reason else step.result
            rows.setdefault(step.subject, {})[step.part] = said
    return rows


def without_paths(record: str) -> str:
    """A record as it may be published: without where this repository and this Python are."""
    return record.replace(f"{ROOT}/", "").replace(str(ROOT), ".").replace(sys.executable, "python")
