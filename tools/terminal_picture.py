"""The picture of a terminal in the README: what a command prints, as SVG.

    python -m tools.terminal_picture demo.bundle docs/pictures/terminal.svg

Fonts are the reader's own: nothing is fetched.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text

COLUMNS = 96


def printed(*words: str | Path) -> str:
    """What a command prints to a terminal, with its colours."""
    command = [sys.executable, "-m", "vpp_deploy", *map(str, words)]
    environment = os.environ | {"FORCE_COLOR": "1", "COLUMNS": str(COLUMNS), "TERM": "xterm-256color"}
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout


def picture(bundle: Path) -> str:
    """SVG of `inspect` of a bundle."""
    console = Console(record=True, width=COLUMNS, file=StringIO())
    console.print(Text("$ vpp-deploy inspect demo.bundle", "bold"))
    console.print(Text.from_ansi(printed("inspect", bundle).replace(str(bundle), "demo.bundle")))
    return re.sub(r"@font-face \{.*?\}\s*", "", console.export_svg(title="vpp-deploy"), flags=re.DOTALL)


def main() -> None:
    """Draw it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("target", type=Path)
    arguments = parser.parse_args()
    arguments.target.write_text(picture(arguments.bundle), encoding="utf-8")


if __name__ == "__main__":
    main()
