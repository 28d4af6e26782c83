"""driver.c as the library that the loader finds in place of the driver's."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent / "driver.c"


def compile_driver(folder: Path, others: str = "") -> Path:
    """`libcuda.so.1` in a folder.

    Args:
        folder: where to put it.
        others: C for more functions.
    """
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("no C compiler in PATH, or not Linux")
    (folder / "others.c").write_text(others)
    target = folder / "libcuda.so.1"
    flags = ["-shared", "-fPIC", "-O1", "-pthread", "-Wl,-soname,libcuda.so.1"]
    subprocess.run([compiler, *flags, "-o", target, SOURCE, folder / "others.c"], check=True)
    return target


def missing_functions(module: Path) -> str:
    """C for functions of the driver that a module links to and that driver.c lacks: nobody calls them."""
    symbols = subprocess.run(
        ["nm", "-D", "--undefined-only", module], capture_output=True, text=True, check=True
    ).stdout
    names = sorted(set(re.findall(r" (cu[A-Z]\w*)", symbols)))
    return "\n".join(f"int {name}(void) {{ return 801; }}" for name in names if f" {name}(" not in SOURCE.read_text())
