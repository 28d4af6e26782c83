"""Checks text files for what no reviewer should have to see: `python tools/hygiene.py FILE...`.

Trailing white space, another end of file than one newline, carriage returns, marks of an unfinished merge, and files
of more than 512 KiB. Prints `FILE:LINE: problem` and exits with 1 if there is any.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

LARGEST = 512 * 1024
MARKS = ("<" * 7 + " ", ">" * 7 + " ")


def problems(path: Path) -> Iterator[str]:
    """What is wrong with a file, as `FILE:LINE: problem`."""
    content = path.read_bytes()
    if len(content) > LARGEST:
        yield f"{path}:1: {len(content)} bytes are too many for a text file"
    if content and (not content.endswith(b"\n") or content.endswith(b"\n\n")):
        last = content.count(b"\n")
        yield f"{path}:{last}: must end with one newline"
    for number, line in enumerate(content.decode("utf-8", errors="replace").split("\n"), start=1):
        if line.endswith("\r"):
            yield f"{path}:{number}: carriage return"
        elif line != line.rstrip():
            yield f"{path}:{number}: trailing white space"
        if line.startswith(MARKS):
            yield f"{path}:{number}: an unfinished merge"


def main(names: list[str]) -> int:
    """Print all problems; 1 if there are any."""
    found = [problem for name in names for problem in problems(Path(name))]
    sys.stdout.writelines(f"{problem}\n" for problem in found)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
