"""Compiles the embedded kernels and puts their PTX into the Python package. Needs nvcc.

    python plugins/embed.py

Run it after every change of plugins/kernels; a test compares the hash of the sources that the file carries. The PTX is
marked as of an old version, so that old drivers read it: ptxas refuses that if a newer instruction is in it.
"""

from __future__ import annotations

import gzip
import hashlib
import re
import subprocess
import tempfile
from pathlib import Path

KERNELS = Path(__file__).parent / "kernels"
TARGET = Path(__file__).parents[1] / "vpp_deploy" / "engines" / "tensorrt" / "embedded.ptx.gz"
PTX_VERSION = "7.8"  # CUDA 11.8, driver 520
ARCHITECTURES = ("sm_80", "sm_86", "sm_89", "sm_90", "sm_120")


def sources_hash() -> str:
    """SHA-256 of all that the kernels are made of."""
    files = sorted(path for path in KERNELS.iterdir() if path.suffix in (".cu", ".cuh", ".h"))
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()


def compiled() -> str:
    """The PTX of all entries, with the hash of the sources on top."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "embedded.ptx"
        command = ["nvcc", "-std=c++17", "-arch=compute_80", "-ptx", "-o", str(path), str(KERNELS / "embedded.cu")]
        subprocess.run(command, check=True)
        ptx = re.sub(r"(?m)^\s*//.*\n", "", path.read_text())
        ptx = re.sub(r"(?m)^\.version .*$", f".version {PTX_VERSION}", ptx)
        ptx = f"// vpp kernels, sources sha256 {sources_hash()}\n{ptx}"
        path.write_text(ptx)
        known = subprocess.run(["nvcc", "--list-gpu-code"], check=True, capture_output=True, text=True).stdout.split()
        for architecture in [architecture for architecture in ARCHITECTURES if architecture in known]:
            subprocess.run(["ptxas", f"-arch={architecture}", "-o", str(Path(folder) / "cubin"), str(path)], check=True)
    return ptx


if __name__ == "__main__":
    TARGET.write_bytes(gzip.compress(compiled().encode(), mtime=0))
