"""What ONNX Runtime needs on a machine, and whether it is there."""

from __future__ import annotations

from vpp_deploy.engines.backend import Ability, Surroundings
from vpp_deploy.engines.onnxruntime import BACKEND
from vpp_deploy.engines.onnxruntime.native_library import NATIVE_OPS, NativeLibrary
from vpp_deploy.errors import PluginError


def providers() -> tuple[tuple[str, ...], str | None]:
    """The execution providers of the installed ONNX Runtime, and why it does not load if it does not."""
    try:
        import onnxruntime

        return tuple(onnxruntime.get_available_providers()), None
    except (ImportError, OSError, AttributeError) as error:
        if isinstance(error, ModuleNotFoundError) and error.name == BACKEND.module:
            return (), f"{BACKEND.name} not installed: {BACKEND.install_command}"
        return (), f"onnxruntime does not load ({error}); run: pip install --force-reinstall onnxruntime"


def examine(surroundings: Surroundings) -> Ability:
    """What can be built and run on a machine: everything, if ONNX Runtime loads."""
    _, broken = providers()
    library, _ = _native_library()
    return Ability(cannot_build=broken, cannot_run=broken, plugins=("native",) if library else ())


def problems(surroundings: Surroundings) -> list[str]:
    """What should be repaired.

    Two distributions of ONNX Runtime side by side, one that does not load, or native ops that are not where
    `$VPP_DEPLOY_ONNXRUNTIME_OPS` says.
    """
    _, broken = providers() if BACKEND.distribution(surroundings.installed) else ((), None)
    _, no_library = _native_library()
    return [problem for problem in (_two_runtimes(surroundings), broken, no_library) if problem]


def _native_library() -> tuple[NativeLibrary | None, str | None]:
    """The library of native ops that engines would be built with, and what is wrong with it."""
    try:
        return NATIVE_OPS.for_build() if NATIVE_OPS.candidates() else None, None
    except PluginError as error:
        return None, str(error)


def _two_runtimes(surroundings: Surroundings) -> str | None:
    usual, with_cuda = BACKEND.distributions
    if not (surroundings.installed(usual) and surroundings.installed(with_cuda)):
        return None
    return (
        f"{usual} and {with_cuda} are both installed and overwrite each other's files; run: "
        f"pip uninstall -y {usual} {with_cuda}, then: {BACKEND.install_command} (or vpp-deploy[gpu], with CUDA)"
    )
