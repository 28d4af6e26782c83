"""Everything that only a GPU can tell, in one command on a machine that has one.

    python -m benchmarks.on_gpu

Compiles the kernels for the GPU, tests them, times them against PyTorch, tests the device layer and the embedded
kernels' PTX, then builds the demo's engines for every backend, compares them with PyTorch, runs and times them; last
the kernels' tests once more under compute-sanitizer, where it is installed. Needs nvcc and cmake; TENSORRT_INCLUDE_DIR
names TensorRT's headers, for the plugin library. A step that fails or takes too long does not stop the others, and one
that cannot be taken here says why. The record goes to benchmarks/results/, with the date, the machine, every command,
and a summary for the README's status table; it is written anew after every group of steps.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.on_gpu_steps import ROOT, Step, not_run, run, summary, without_paths
from vpp_deploy.engines import BACKENDS, Surroundings
from vpp_deploy.engines.backend import Backend, installed_version
from vpp_deploy.engines.tensorrt import TENSORRT_RTX
from vpp_deploy.engines.tensorrt.plugins import CHOICES, why_not_embedded
from vpp_deploy.machine import nvidia_gpus
from vpp_deploy.options import options_of

WORK = ROOT / "build" / "gpu"
DEMO = WORK / "demo"
FRAMES = 24
RTX_TARGETS = "import tensorrt_rtx as trt; print(*trt.ComputeCapability.__members__)"
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


@dataclass(frozen=True)
class Variant:
    """One way to build an engine.

    Attributes:
        backend: which builder.
        options: of `build-engine`.
        cannot_build: why it cannot be built here; None if it can.
        cannot_run: why it cannot be run here; None if it can.
    """

    backend: str
    options: tuple[str, ...] = ()
    cannot_build: str | None = None
    cannot_run: str | None = None

    @property
    def name(self) -> str:
        """What tells it from others."""
        return " ".join([self.backend, *self.options])


def kernels(capability: str, limit: float) -> list[Step]:
    """Compile, test and time the kernels."""
    subject = "kernels"
    nvcc = shutil.which("nvcc") or shutil.which(Path(os.environ.get("CUDA_HOME", "/usr/local/cuda")) / "bin" / "nvcc")
    if not (nvcc and shutil.which("cmake")):
        return [not_run("compile", f"there is no {'cmake' if nvcc else 'nvcc'} in PATH", subject, "compile")]
    headers = os.environ.get("TENSORRT_INCLUDE_DIR")
    options = [
        f"-DCMAKE_CUDA_COMPILER={nvcc}",
        f"-DCMAKE_CUDA_ARCHITECTURES={capability.replace('.', '')}",
        *([f"-DTENSORRT_INCLUDE_DIR={headers}"] if headers else []),
    ]
    steps = [
        run("configure", "cmake", "-S", ROOT / "plugins", "-B", WORK, *options, limit=limit),
        run("compile", "cmake", "--build", WORK, "--parallel", limit=limit, subject=subject, part="compile"),
    ]
    if not all(step.passed for step in steps):
        return steps
    if not headers:
        steps.append(not_run("plugin library", _NO_HEADERS, "plugin library", "compile"))
    tests = WORK / "vpp_kernel_tests"
    steps.append(run("kernel tests", tests, limit=limit, subject=subject, part="test"))
    program, library = ROOT / "plugins" / "tests" / "bench_kernels.py", WORK / "libvpp_kernels_shared.so"
    figures = WORK / "kernels.json"
    timing = (sys.executable, program, library, "-o", figures)
    steps.append(run("kernel benchmark", *timing, limit=limit, subject=subject, part="benchmark", figures=figures))
    return steps


def device_layer(limit: float) -> list[Step]:
    """Test what calls the driver, and the embedded kernels as an engine carries them."""
    tests = (sys.executable, "-m", "pytest", "-q", "-rs", "tests/engines/cuda/test_on_a_gpu.py")
    return [run("device layer and embedded kernels", *tests, limit=limit, subject="device layer", part="test")]


def sanitized_kernels(limit: float) -> list[Step]:
    """The kernels' tests under every tool of compute-sanitizer; each takes many times as long as the tests alone."""
    sanitizer, tests, subject = shutil.which("compute-sanitizer"), WORK / "vpp_kernel_tests", "kernels"
    missing = None if sanitizer else "there is no compute-sanitizer in PATH"
    if not tests.is_file():
        missing = "the kernels' tests are not compiled"
    steps = []
    for tool in ("memcheck", "racecheck", "initcheck", "synccheck"):
        name = f"kernels under {tool}"
        if missing or sanitizer is None:
            steps.append(not_run(name, str(missing), subject, tool))
        else:
            command = (sanitizer, "--error-exitcode", "1", "--tool", tool, tests)
            steps.append(run(name, *command, limit=limit, subject=subject, part=tool))
    return steps


_NO_HEADERS = "TENSORRT_INCLUDE_DIR is not set: give the folder of TensorRT's headers"


def variants(capability: str, surroundings: Surroundings, rtx_targets: tuple[str, ...]) -> Iterator[Variant]:
    """Backends that run on a GPU, each with every form of plugins and every target, also those that cannot be had here.

    Args:
        capability: of the GPU.
        surroundings: this machine.
        rtx_targets: compute capabilities that the installed TensorRT-RTX builds for.
    """
    for backend in BACKENDS.values():
        if backend.runs_on != "gpu":
            continue
        options = {option.name: option.flag for option in options_of(backend.build_options)}
        ability = backend.examine(surroundings)
        forms = CHOICES if "plugins" in options else ("",)
        targets = ("", "8.0", capability) if backend.name == TENSORRT_RTX.name else ("",)
        for form in forms:
            for target in dict.fromkeys(targets):
                words = [*((options["plugins"], form) if form else ())]
                words += (options["compute_capabilities"], target) if target else ()
                no_target = f"{backend.title} does not build for compute capability"
                cannot_build = ability.cannot_build or _no_plugins(backend, form, ability.plugins)
                if target and target not in rtx_targets:
                    cannot_build = cannot_build or f"{no_target} {target}"
                cannot_run = ability.cannot_run
                if backend.name == TENSORRT_RTX.name and capability not in rtx_targets:
                    cannot_run = cannot_run or f"{no_target} {capability}, which this GPU has"
                elif target and target != capability:
                    cannot_run = cannot_run or f"it is for compute capability {target} alone, this GPU has {capability}"
                yield Variant(backend.name, tuple(words), cannot_build, cannot_run)


def _no_plugins(backend: Backend, form: str, there: tuple[str, ...]) -> str | None:
    if form in ("", "none", *there):
        return None
    if form == "embedded":
        return why_not_embedded(backend.name, backend.version() or "0")
    return f"there is no plugin library in {WORK}" + (
        "" if os.environ.get("TENSORRT_INCLUDE_DIR") else f": {_NO_HEADERS}"
    )


def engines(capability: str, limit: float) -> list[Step]:
    """Build the demo's engines of every backend and compare them with PyTorch."""
    cli = (sys.executable, "-m", "vpp_deploy")
    steps = [run("demo", *cli, "demo", "-o", DEMO, limit=limit)]
    if not steps[0].passed:
        return steps
    bundle, clip = DEMO / "demo.bundle", DEMO / "clip.mp4"
    os.environ["VPP_DEPLOY_PLUGIN_PATH"] = str(WORK)
    asked = run("targets of TensorRT-RTX", sys.executable, "-c", RTX_TARGETS, limit=limit)
    names = asked.last_words[-1].split() if asked.passed else []
    rtx_targets = tuple(f"{name[2:-1]}.{name[-1]}" for name in names if name.startswith("SM"))
    for variant in variants(capability, Surroundings(installed_version, nvidia_gpus()), rtx_targets):
        steps += _engine(variant, cli, bundle, clip, limit)
    return steps


def _engine(variant: Variant, cli: tuple[str, ...], bundle: Path, clip: Path, limit: float) -> list[Step]:
    name, engine = variant.name, ("--engine", variant.backend)
    if variant.cannot_build:
        return [not_run(f"build {name}", variant.cannot_build, name, "build")]
    build: tuple[str | Path, ...] = (*cli, "build-engine", bundle, *engine, "--force", *variant.options)
    steps = [run(f"build {name}", *build, limit=limit, subject=name, part="build")]
    if not steps[0].passed:
        return steps
    if variant.backend == TENSORRT_RTX.name and "none" in variant.options:
        plan = bundle / "engines" / variant.backend / "step.engine"
        loads = (sys.executable, "-c", RTX_LOADS, plan)
        steps.append(run(f"TensorRT-RTX loads {name}", *loads, limit=limit, subject=name, part="load"))
    report, times = WORK / "parity.json", WORK / "benchmark.json"
    parity = ("parity", bundle, *engine, "--input", clip, "--frames", str(FRAMES), "--json", report)
    tasks: list[tuple[str, tuple[str | Path, ...], Path | None]] = [
        ("parity", parity, report),
        ("infer", ("infer", bundle, clip, *engine), None),
        ("benchmark", ("benchmark", bundle, *engine, "--json", times), times),
    ]
    for part, words, figures in tasks:
        if variant.cannot_run:
            steps.append(not_run(f"{part} {name}", variant.cannot_run, name, part))
        else:
            steps.append(run(f"{part} {name}", *cli, *words, limit=limit, subject=name, part=part, figures=figures))
    return steps


def main() -> None:
    """Run all, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, help="the record (default: benchmarks/results/DATE-GPU.json)")
    parser.add_argument("--limit", type=float, default=300, metavar="SECONDS", help="of a step (default: 300)")
    arguments = parser.parse_args()
    gpus = nvidia_gpus()
    if not gpus:
        sys.exit("no NVIDIA GPU with a driver: nvidia-smi finds none")
    WORK.mkdir(parents=True, exist_ok=True)
    now, capability, limit = datetime.now(UTC), gpus[0].compute_capability, arguments.limit
    name = re.sub(r"[^a-z0-9]+", "-", gpus[0].name.lower())
    target = arguments.output or ROOT / "benchmarks" / "results" / f"{now.date()}-{name}.json"
    groups: list[Callable[[], list[Step]]] = [
        lambda: kernels(capability, limit),
        lambda: device_layer(limit),
        lambda: engines(capability, limit),
        lambda: sanitized_kernels(limit),
    ]
    steps: list[Step] = []
    for group in groups:
        steps += group()
        record = {
            "date": now.isoformat(timespec="seconds"),
            "command": shlex.join(["python", "-m", "benchmarks.on_gpu", *sys.argv[1:]]),
            "gpu": asdict(gpus[0]),
            "summary": summary(steps),
            "steps": [asdict(step) for step in steps],
        }
        target.write_text(without_paths(json.dumps(record, indent=2)) + "\n")
    print(json.dumps(summary(steps), indent=2))
    print(target)


if __name__ == "__main__":
    main()
