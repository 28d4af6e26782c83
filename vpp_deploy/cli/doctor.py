"""`vpp-deploy doctor`: what is installed, and what can run here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from vpp_deploy.cli.options import JsonFlag
from vpp_deploy.terminal import console

if TYPE_CHECKING:
    from vpp_deploy.cli.environment import Environment

EXAMPLES = ("vpp-deploy doctor", "vpp-deploy doctor --json")


def command(json: JsonFlag = False) -> None:
    """Show what is installed and which engines can be built and run on this machine. Never fails."""
    from vpp_deploy.cli.environment import examine

    environment = examine()
    if json:
        console.print_json(environment.to_dict())
        return
    console.show(_machine(environment))
    console.heading("Packages")
    console.show(_packages(environment))
    console.heading("Engines")
    console.show(_engines(environment))
    console.heading("Problems" if environment.problems else "No problems found.")
    for problem in environment.problems:
        console.say(Text(f"- {problem}", style="bold red"))


def _machine(environment: Environment) -> Table:
    memory = environment.memory_bytes
    gpus = [
        f"{gpu.name}, driver {gpu.driver}, {gpu.memory}, compute capability {gpu.compute_capability}"
        for gpu in environment.gpus
    ]
    return console.facts(
        [
            ("vpp-deploy", environment.vpp_deploy),
            ("Python", environment.python),
            ("system", environment.system),
            ("processors", _processors(environment)),
            ("memory", f"{memory / 2**30:.1f} GiB" if memory else "unknown"),
            ("NVIDIA GPU", "\n".join(gpus) or "none (nvidia-smi finds none)"),
            ("ONNX Runtime", ", ".join(environment.providers) or "does not load"),
            ("plugin library", _plugin_files(environment)),
            ("video output", "H.264 encoder available" if environment.h264_encoder else "no H.264 encoder"),
        ]
    )


def _processors(environment: Environment) -> str:
    quota = environment.processor_quota
    limit = "" if quota is None else f" (the container's limit is {quota:.3g} processors' time)"
    return f"{environment.processors}{limit}"


def _plugin_files(environment: Environment) -> str:
    if not environment.plugin_files:
        return "not looked for ($VPP_DEPLOY_PLUGIN_PATH is not set)"
    return "\n".join(
        f"{file.path}, version {file.version}" if file.version else str(file.problem)
        for file in environment.plugin_files
    )


def _packages(environment: Environment) -> Table:
    table = console.table("package", "installed", "needed", "for")
    for package in environment.packages:
        installed = Text(package.version) if package.version else Text("–", style="dim")
        use = ", ".join(f"vpp-deploy[{extra}]" for extra in package.extras) or "always"
        table.add_row(package.name, installed, package.needs or "any", use)
    return table


def _engines(environment: Environment) -> Table:
    table = console.table("engine", "build", "run", "plugins", "why not")
    for name, backend in environment.backends.items():
        reasons = [
            f"{what}: {reason}"
            for what, reason in (("build", backend.cannot_build), ("run", backend.cannot_run))
            if reason
        ]
        verdicts = (_verdict(reason) for reason in (backend.cannot_build, backend.cannot_run))
        table.add_row(name, *verdicts, ", ".join(backend.plugins) or "–", "\n".join(reasons))
    return table


def _verdict(reason: str | None) -> Text:
    return Text("no", style="red") if reason else Text("yes", style="green")
