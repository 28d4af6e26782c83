"""Runs the command line on hostile input and says what is wrong with how it behaved."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.conftest import REPOSITORY
from tests.fuzz.forkserver import ERRORS, OUTPUT, Answer

MOST_SECONDS = 20
MOST_BYTES = 1 << 30
KNOWN_CODES = range(10)
ASIDE = ("warning: ", "note: ")


@dataclass(frozen=True)
class Outcome:
    """How a command ended.

    Attributes:
        code: exit code, or minus a signal.
        seconds: wall time.
        memory: the most bytes that it had.
        output: what it printed.
        errors: what it printed on standard error.
        leftovers: hidden files that it left in its working directory.
    """

    code: int
    seconds: float
    memory: int
    output: bytes
    errors: bytes
    leftovers: tuple[str, ...]

    def faults(self) -> Iterator[str]:
        """What no input may lead to."""
        if self.code < 0:
            yield f"killed by signal {-self.code} after {self.seconds:.0f} s"
        elif self.code == 1 or self.code not in KNOWN_CODES:
            yield f"exit code {self.code}"
        if self.seconds > MOST_SECONDS:
            yield f"{self.seconds:.0f} s"
        if self.memory > MOST_BYTES:
            yield f"{self.memory / 1e6:.0f} MB of memory"
        lines = [line for line in self.errors.decode(errors="replace").split("\n") if line]
        told = [line for line in lines if not line.startswith(ASIDE)]
        if len(told) > 1 or (self.code and not told):
            yield f"{len(told)} lines of error"
        if told and (not self.code or not told[0].startswith("error: ")):
            yield f"a foreign line on standard error: {told[0]!r}"
        if strange := {char for char in self.output + self.errors if char < 32} - {10}:
            yield f"control characters {sorted(strange)}"
        if self.leftovers:
            yield f"left {', '.join(self.leftovers)}"


@dataclass
class Tally:
    """Counts of a group of cases."""

    name: str
    codes: Counter[int] = field(default_factory=Counter)
    flagged: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """One line: how many cases ended with which exit code."""
        ends = ", ".join(f"{count} × {code}" for code, count in sorted(self.codes.items()))
        return f"{self.name}: {self.codes.total()} cases (exit codes {ends}), {len(self.flagged)} flagged"


class Runner:
    """A fork server with some modules imported.

    Args:
        results: a folder for what commands print.
        modules: what to import once, before the first command.
    """

    def __init__(self, results: Path, modules: Sequence[str]) -> None:
        self._results = results
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.forkserver", *modules],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._line() == "ready\n"

    def run(self, words: Sequence[str | Path], folder: Path, call: str | None = None) -> Outcome:
        """Run `vpp-deploy` with these words, or a function (`module:name`) with them, in a working directory."""
        request = {"words": [str(word) for word in words], "folder": str(folder), "results": str(self._results)}
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps(request | ({"call": call} if call else {})) + "\n")
        self._server.stdin.flush()
        answer: Answer = json.loads(self._line())
        return Outcome(
            **answer,
            output=(self._results / OUTPUT).read_bytes(),
            errors=(self._results / ERRORS).read_bytes(),
            leftovers=tuple(sorted(path.name for path in folder.glob(".*"))),
        )

    def close(self) -> None:
        """End the server."""
        self._server.communicate("")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _line(self) -> str:
        assert self._server.stdout is not None
        return self._server.stdout.readline()
