"""Runs commands in processes that have everything imported already: some hundred a minute instead of thirty.

Reads one JSON request a line, `{"words": [...], "folder": "..."}`, runs the command line in a fork of itself with that
working directory, and answers with a line, see `Answer`. A request with `"call": "module:function"` calls that with the
words instead; the function gives the exit code.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any, TypedDict

LONGEST_SECONDS = 25
MOST_BYTES = 16 << 30
"""Of address space: far above what is allowed, so that a bomb hurts nobody else."""
OUTPUT = "output.txt"
ERRORS = "errors.txt"


class Answer(TypedDict):
    """What became of a request.

    Attributes:
        code: the exit code; minus the number of the signal that ended it.
        seconds: wall time.
        memory: the most bytes it had, with those of the server itself.
    """

    code: int
    seconds: float
    memory: int


def serve(modules: list[str]) -> None:
    """Import what will be needed, say so, and answer until there are no more requests."""
    for module in modules:
        importlib.import_module(module)
    print("ready", flush=True)  # noqa: T201
    for line in sys.stdin:
        print(json.dumps(_answer(json.loads(line))), flush=True)  # noqa: T201


def _answer(request: dict[str, Any]) -> Answer:
    start = time.monotonic()
    if (child := os.fork()) == 0:
        _run(request)
    status, usage = _wait(child, start + LONGEST_SECONDS)
    code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
    return {"code": code, "seconds": time.monotonic() - start, "memory": usage.ru_maxrss * 1024}


def _wait(child: int, until: float) -> tuple[int, resource.struct_rusage]:
    while True:
        found, status, usage = os.wait4(child, os.WNOHANG)
        if found:
            return status, usage
        if time.monotonic() > until:
            os.kill(child, signal.SIGKILL)
            _, status, usage = os.wait4(child, 0)
            return status, usage
        time.sleep(0.002)


def _run(request: dict[str, Any]) -> None:
    """In the child: run the request and end."""
    code = 70  # of a command that does not even come back
    try:
        resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
        results = Path(request["results"])
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for stream, name in ((1, OUTPUT), (2, ERRORS)):
            os.dup2(os.open(results / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
        os.chdir(request["folder"])
        module, _, function = request.get("call", "vpp_deploy.cli.main:main").partition(":")
        code = getattr(importlib.import_module(module), function)(request["words"])
        sys.stdout.flush()
        sys.stderr.flush()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 71
    except BaseException as error:
        sys.stderr.write(f"Traceback: {type(error).__name__}: {error}\n")
        sys.stderr.flush()
    finally:
        os._exit(code)


if __name__ == "__main__":
    serve(sys.argv[1:])
