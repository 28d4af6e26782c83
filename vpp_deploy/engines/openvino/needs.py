"""What OpenVINO needs on a machine, and whether it is there."""

from __future__ import annotations

from vpp_deploy.engines.backend import Ability, Surroundings
from vpp_deploy.engines.openvino import BACKEND
from vpp_deploy.files import interrupts


def examine(surroundings: Surroundings) -> Ability:
    """What can be built and run on a machine: everything, if OpenVINO loads."""
    missing = None if BACKEND.distribution(surroundings.installed) else _NOT_INSTALLED
    reason = missing or _broken()
    return Ability(cannot_build=reason, cannot_run=reason)


def problems(surroundings: Surroundings) -> list[str]:
    """What should be repaired: an OpenVINO that is installed and does not load."""
    broken = _broken() if BACKEND.distribution(surroundings.installed) else None
    return [broken] if broken else []


_NOT_INSTALLED = f"{BACKEND.name} not installed: {BACKEND.install_command}"


def _broken() -> str | None:
    """Why it does not load; None if it does."""
    try:
        import openvino

        openvino.Core()
    except Exception as error:  # its library raises what it likes where a plugin of its own does not load
        interrupts.let_pass(error)
        reason = " ".join(str(error).split())
        return f"openvino does not load ({reason:.200}); run: pip install --force-reinstall openvino"
    return None
