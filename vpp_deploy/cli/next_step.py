"""What a command that made something says to go on with: a command that works here."""

from __future__ import annotations

from vpp_deploy.bundle import Bundle
from vpp_deploy.cli.environment import ability_of
from vpp_deploy.engines import BACKENDS, backends_for
from vpp_deploy.engines.backend import Backend, Surroundings, installed_version
from vpp_deploy.machine import nvidia_gpus
from vpp_deploy.tasks import DEFAULT, TASKS
from vpp_deploy.terminal import console


def say_build(bundle: Bundle) -> None:
    """Say how to build an engine; where none that computes in the bundle's precision can be, say which would."""
    engine = engine_for(bundle)
    if engine is not None:
        console.next_command("vpp-deploy", "build-engine", str(bundle.path), *engine_words(engine))
        return
    able = ", ".join(backends_for(precision := bundle.manifest.precision))
    console.say(f"note: {precision} takes one of the engines {able}, and none of them works here")
    console.next_command("vpp-deploy", "doctor")


def say_run(bundle: Bundle, engine: str) -> None:
    """Say how to run an engine that was built; of one that needs a GPU, how to look at it."""
    if BACKENDS[engine].runs_on == "cpu":
        words = TASKS[bundle.manifest.task].next_run(bundle.manifest)
        console.next_command("vpp-deploy", "infer", str(bundle.path), *words, *engine_words(engine))
    else:
        console.next_command("vpp-deploy", "inspect", str(bundle.path))


def engine_for(bundle: Bundle) -> str | None:
    """The first backend that can build and run a bundle on this machine; None if none can."""
    return next((name for name in backends_for(bundle.manifest.precision) if _works_here(BACKENDS[name])), None)


def engine_words(engine: str) -> list[str]:
    """The option that names an engine, where that is not the default."""
    return [] if engine == DEFAULT else ["--engine", engine]


def _works_here(backend: Backend) -> bool:
    if backend.version() is None:
        return False
    if backend.name == DEFAULT:  # it runs wherever it is installed, and GPUs need not be looked for
        return True
    ability = ability_of(backend, Surroundings(installed_version, nvidia_gpus()))
    return not (ability.cannot_build or ability.cannot_run)
