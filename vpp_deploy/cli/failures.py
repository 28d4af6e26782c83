"""From an exception to one line and an exit code."""

from __future__ import annotations

import errno
import os
from typing import Final

from vpp_deploy.errors import DependencyError, ExitCode, VppDeployError

_SYSTEMS: Final = (
    errno.EACCES, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ELOOP, errno.EMFILE, errno.ENAMETOOLONG, errno.ENFILE,
    errno.ENOSPC, errno.EPERM, errno.EROFS,
)  # fmt: skip
"""What the system refuses for reasons of its own, wherever it was asked."""

_EXTRAS: Final[dict[str, str | None]] = {
    "torch": "export",
    "torchvision": "export",
    "timm": "export",
    "transformers": "export",
    "onnxscript": "export",
    "polygraphy": "export",
    "cuda": "tensorrt",
    "av": None,
    "numpy": None,
    "onnx": None,
    "PIL": None,
    "pycocotools": None,
    "pydantic": None,
    "safetensors": None,
}
"""The extra of vpp-deploy that installs an importable package, besides backends; None for what it always needs."""


def describe(error: Exception) -> tuple[str, str, int]:
    """What to tell about an error.

    Returns:
        A label, a message, and the exit code.
    """
    if isinstance(error, ImportError):
        error = dependency_error(error) or error
    if isinstance(error, VppDeployError):
        return "error", str(error), error.exit_code
    # The parser's own errors. Their base class has another home in every version of typer, so they are told by shape.
    if callable(format_message := getattr(error, "format_message", None)):
        return "error", _usage(error, format_message()), ExitCode.USAGE
    if isinstance(error, OSError) and error.errno in _SYSTEMS:
        where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
        return "error", f"{where}{error.strerror or error}", ExitCode.BAD_INPUT
    if isinstance(error, FileNotFoundError) and "No usable temporary directory" in str(error):
        return "error", "there is no usable folder for temporary files: set TMPDIR to one", ExitCode.BAD_INPUT
    reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return "internal error", f"{reason} (run again with --debug for the traceback)", ExitCode.INTERNAL


def dependency_error(error: ImportError) -> DependencyError | None:
    """The error for a package of `vpp-deploy` that is missing or does not load; None if it is not about one."""
    package = (error.name or "").partition(".")[0]
    extras = _extras()
    if package not in extras:
        return None
    extra = extras[package]
    command = f"pip install vpp-deploy[{extra}]" if extra else "pip install --force-reinstall vpp-deploy"
    if isinstance(error, ModuleNotFoundError) and error.name == package:
        return DependencyError(f"{package} is not installed, and this command needs it; install it with: {command}")
    return DependencyError(f"{package} is installed but does not load ({error}); reinstall it with: {command}")


def _extras() -> dict[str, str | None]:
    """The extras of all packages, with those of backends. Of two for one package, the first is the usual one."""
    from vpp_deploy.engines import BACKENDS

    backends, _ = BACKENDS.load_all()
    return _EXTRAS | {record.module: record.extra for record in reversed(backends.values())}


def _usage(error: Exception, message: str) -> str:
    """A parser's message as a clause, with the command that explains more."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "vpp-deploy"
    text = message[:1].lower() + message[1:].rstrip(".")
    return f"{text} (see {command} --help)"
