"""The exception tree of vpp-deploy and the exit codes of its command line.

Every error that a user can cause derives from `VppDeployError`. Its message says what was wrong (with the value),
where, and what to do; the command line prints it as one line and exits with `exit_code`.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """What the process exit status of `vpp-deploy` means."""

    OK = 0
    INTERNAL = 1
    USAGE = 2
    MISSING = 3
    INCOMPATIBLE = 4
    PLUGIN = 5
    PARITY = 6
    BUILD = 7
    UNSUPPORTED_MODEL = 8
    BAD_INPUT = 9


class VppDeployError(Exception):
    """Base of every error that vpp-deploy raises on purpose."""

    exit_code: ClassVar[ExitCode] = ExitCode.INTERNAL


class UsageError(VppDeployError):
    """The call itself makes no sense: contradictory or missing options."""

    exit_code = ExitCode.USAGE


class DependencyError(VppDeployError):
    """A package that this operation needs is not installed."""

    exit_code = ExitCode.MISSING


class DeviceError(VppDeployError):
    """A device (GPU, driver, execution provider) that this operation needs is not there."""

    exit_code = ExitCode.MISSING


class IncompatibleEngineError(VppDeployError):
    """An engine was built from another graph, by another version, or for another machine."""

    exit_code = ExitCode.INCOMPATIBLE


class PluginError(VppDeployError):
    """A library of plugins or native ops is missing, another, or does not load."""

    exit_code = ExitCode.PLUGIN


class ParityError(VppDeployError):
    """An engine does not compute what PyTorch computes."""

    exit_code = ExitCode.PARITY


class BuildError(VppDeployError):
    """A backend could not build an engine."""

    exit_code = ExitCode.BUILD


class ExportError(VppDeployError):
    """A model cannot be exported: an unknown name, an unsupported structure or size."""

    exit_code = ExitCode.UNSUPPORTED_MODEL


class ConfigError(VppDeployError):
    """A value that describes a model, such as a keep schedule, is outside its range."""

    exit_code = ExitCode.BAD_INPUT


class CheckpointError(VppDeployError):
    """A checkpoint is missing, unreadable, unsafe, or of another model."""

    exit_code = ExitCode.BAD_INPUT


class BundleError(VppDeployError):
    """A bundle is incomplete, altered, or of an unknown schema."""

    exit_code = ExitCode.BAD_INPUT


class VideoError(VppDeployError):
    """A video or image folder cannot be read, or a video cannot be written."""

    exit_code = ExitCode.BAD_INPUT


class DatasetError(VppDeployError):
    """A data set or a file of predictions is missing, unreadable, contradicts itself, or does not fit the model."""

    exit_code = ExitCode.BAD_INPUT


class OutputError(VppDeployError):
    """A result file or folder cannot be written where it was asked for."""

    exit_code = ExitCode.BAD_INPUT


class EngineOutputError(VppDeployError):
    """An engine gives what no result can be made of: NaN, infinity, or positions that there are not."""

    exit_code = ExitCode.BAD_INPUT


class StreamError(VppDeployError):
    """A stream is not there, has broken, got a frame out of order, or is used by two threads at once."""

    exit_code = ExitCode.BAD_INPUT


class CapacityError(VppDeployError):
    """A pool has as many streams, or frames that wait, as it may have."""

    exit_code = ExitCode.BAD_INPUT
