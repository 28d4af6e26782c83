"""Everything that only a GPU can tell, in one command on a machine that has one. Not yet run on one.

    python -m benchmarks.on_gpu

Compiles the kernels for the GPU, tests them (also under compute-sanitizer, where it is installed), times them against
PyTorch, then builds the demo's engines for every backend, runs them and compares them with PyTorch. Needs nvcc and
cmake; what of TensorRT, TensorRT-RTX, pycuda and onnxruntime-gpu is not installed is recorded as such. A step that
fails does not stop the others. The record goes to benchmarks/results/, with the date, the machine and every command.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vpp_deploy.engines import BACKENDS, Surroundings
from vpp_deploy.engines.backend import installed_version
from vpp_deploy.engines.tensorrt import TENSORRT_RTX
from vpp_deploy.machine import nvidia_gpus
from vpp_deploy.options import options_of

ROOT = Path(__file__).parents[1]
WORK = ROOT / "build" / "gpu"
DEMO = WORK / "demo"
LAST_LINES = 12
RTX_LOADS = """
import sys
import tensorrt_rtx as trt
plan = open(sys.argv[1], "rb").read()
runtime = trt.Runtime(trt.Logger(trt.Logger.INFO))
print("validity:", runtime.get_engine_validity(plan[: runtime.engine_header_size]))
engine = runtime.deserialize_cuda_engine(plan)
print("deserialised:", engine is not None)
sys.exit(engine is None or engine.create_execution_context() is None)
"""
"""Whether TensorRT-RTX takes an engine on this GPU, whatever vpp-deploy thinks of it."""
FRAMES = 24


@dataclass
class Step:
    """One command and what came of it.

    Attributes:
        name: what it is for.
        command: as it was run.
        status: its exit status; None if it could not be started.
        seconds: wall time.
        last_words: the end of what it printed.
        figures: what it measured, from the JSON that it wrote.
    """

    name: str
    command: str
    status: int | None = None
    seconds: float = 0.0
    last_words: list[str] = field(default_factory=list)
    figures: Any = None

    @property
    def passed(self) -> bool:
        """It ended well."""
        return self.status == 0


def run(name: str, *command: str | Path, figures: Path | None = None) -> Step:
    """Run a command and report it; it may fail."""
    words = [str(word) for word in command]
    step = Step(name, shlex.join(words))
    print(f"{name}: {step.command}", flush=True)
    begin = time.perf_counter()
    try:
        done = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        step.status, printed = done.returncode, done.stdout
    except OSError as error:
        printed = f"cannot be started: {error.strerror}"
    step.seconds = round(time.perf_counter() - begin, 1)
    step.last_words = [line for line in printed.splitlines() if line.strip()][-LAST_LINES:]
    if figures is not None and figures.is_file():
        step.figures = json.loads(figures.read_text())
    print(f"  {'passed' if step.passed else f'FAILED ({step.status})'} in {step.seconds} s", flush=True)
    if not step.passed:
        print("  " + "\n  ".join(step.last_words), flush=True)
    return step


def kernels(capability: str) -> list[Step]:
    """Compile, test and time the kernels."""
    headers = os.environ.get("TENSORRT_INCLUDE_DIR")
    options = [
        f"-DCMAKE_CUDA_ARCHITECTURES={capability.replace('.', '')}",
        *([f"-DTENSORRT_INCLUDE_DIR={headers}"] if headers else []),
    ]
    build = [
        run("configure", "cmake", "-S", ROOT / "plugins", "-B", WORK, *options),
        run("compile", "cmake", "--build", WORK, "--parallel"),
    ]
    if not all(step.passed for step in build):
        return build
    steps = [*build, run("kernel tests", WORK / "vpp_kernel_tests")]
    if shutil.which("compute-sanitizer"):
        tools = ("memcheck", "racecheck", "initcheck", "synccheck")
        sanitizer = ("compute-sanitizer", "--error-exitcode", "1", "--tool")
        steps += [run(f"kernels under {tool}", *sanitizer, tool, WORK / "vpp_kernel_tests") for tool in tools]
    program, library = ROOT / "plugins" / "tests" / "bench_kernels.py", WORK / "libvpp_kernels_shared.so"
    figures = WORK / "kernels.json"
    return [*steps, run("kernel benchmark", sys.executable, program, library, "-o", figures, figures=figures)]


def variants(capability: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Backends that run on a GPU, each with every form of plugins and every target that it can be built for."""
    here = Surroundings(installed_version, nvidia_gpus())
    for backend in BACKENDS.values():
        options = {option.name: option.flag for option in options_of(backend.build_options)}
        forms, targets = [()], [()]
        if "plugins" in options:
            forms = [(options["plugins"], form) for form in ("none", *backend.examine(here).plugins)]
        if "compute_capabilities" in options and backend.builds_on == "cpu":
            targets = [(options["compute_capabilities"], target) for target in dict.fromkeys(["8.0", capability])]
        if backend.runs_on == "gpu":
            yield from ((backend.name, (*form, *target)) for form in forms for target in targets)


def engines(capability: str) -> list[Step]:
    """Build the demo's engines of every backend and compare them with PyTorch."""
    cli = (sys.executable, "-m", "vpp_deploy")
    steps = [run("demo", *cli, "demo", "-o", DEMO)]
    if not steps[0].passed:
        return steps
    bundle, clip = DEMO / "demo.bundle", DEMO / "clip.mp4"
    os.environ["VPP_DEPLOY_PLUGIN_PATH"] = str(WORK)
    for backend, options in variants(capability):
        name = " ".join([backend, *options])
        build = run(f"build {name}", *cli, "build-engine", bundle, "--engine", backend, "--force", *options)
        steps.append(build)
        if build.passed and backend == TENSORRT_RTX.name and "none" in options:
            plan = bundle / "engines" / backend / "step.engine"
            steps.append(run(f"TensorRT-RTX loads {name}", sys.executable, "-c", RTX_LOADS, plan))
        if build.passed:
            report = WORK / "parity.json"
            report.unlink(missing_ok=True)
            parity = ("parity", bundle, "--engine", backend, "--input", clip)
            steps.append(run(f"parity {name}", *cli, *parity, "--frames", str(FRAMES), "--json", report))
            steps.append(run(f"infer {name}", *cli, "infer", bundle, clip, "--engine", backend))
    return steps


def main() -> None:
    """Run all, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, help="the record (default: benchmarks/results/DATE-GPU.json)")
    arguments = parser.parse_args()
    gpus = nvidia_gpus()
    if not gpus:
        sys.exit("no NVIDIA GPU with a driver: nvidia-smi finds none")
    WORK.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC)
    record = {
        "date": now.isoformat(timespec="seconds"),
        "command": shlex.join(["python", "-m", "benchmarks.on_gpu", *sys.argv[1:]]),
        "gpu": asdict(gpus[0]),
        "steps": [
            asdict(step) for step in (*kernels(gpus[0].compute_capability), *engines(gpus[0].compute_capability))
        ],
    }
    name = re.sub(r"[^a-z0-9]+", "-", gpus[0].name.lower())
    target = arguments.output or ROOT / "benchmarks" / "results" / f"{now.date()}-{name}.json"
    target.write_text(json.dumps(record, indent=2) + "\n")
    print(target)


if __name__ == "__main__":
    main()
