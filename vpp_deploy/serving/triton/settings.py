"""What a model in a repository is set to: options of whoever writes it, parameters of its configuration."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, Self

from vpp_deploy.errors import UsageError

BLS: Final = "bls"
"""In place of an engine: Triton runs the graphs."""
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True)
class Settings:
    """Settings of a model of videos. Each is a parameter of the same name in `config.pbtxt`, and can be changed there.

    Attributes:
        engine: that runs in the server's Python process; `bls` asks the models beside it, which Triton runs.
        threads: of the engine for each frame, where it runs on the processor.
        workers: frames that run at once; 0 takes the processors that the server may use.
        max_streams: that may be open at once.
        max_waiting: frames of one stream that may wait.
        idle_seconds: a stream for which nothing comes is closed.
        snapshots: folder for snapshots, an absolute path on the server's machine; "" for none.
        snapshot_every: frames from one snapshot to the next.
    """

    engine: str = "onnxruntime"
    threads: int = 1
    workers: int = 0
    max_streams: int = 64
    max_waiting: int = 32
    idle_seconds: int = 30
    snapshots: str = ""
    snapshot_every: int = 1

    def __post_init__(self) -> None:
        """See that they can be.

        Raises:
            UsageError: a number below 1, a folder that is not absolute, a control character.
        """
        least = {"workers": 0}
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, int) and value < least.get(each.name, 1):
                raise UsageError(f"{each.name} is {value}; it is at least {least.get(each.name, 1)}")
            if isinstance(value, str) and _CONTROL.search(value):
                raise UsageError(f"{each.name} {value!r:.80} holds a control character; leave that out")
        if self.snapshots and not os.path.isabs(self.snapshots):
            raise UsageError(
                f"snapshots {self.snapshots!r:.80} is not an absolute path, and the server runs in another folder"
            )

    def to_parameters(self) -> dict[str, str]:
        """The parameters of a configuration."""
        return {each.name: str(getattr(self, each.name)) for each in fields(self)}

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, str]) -> Self:
        """The settings that parameters say; those of other names are somebody else's.

        Raises:
            UsageError: one is no number, or cannot be.
        """
        values: dict[str, Any] = {}
        for each in fields(cls):
            if (text := parameters.get(each.name)) is None:
                continue
            values[each.name] = _number(each.name, text) if each.type == "int" else text
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Placed:
    """Where Triton has put a model.

    Attributes:
        name: of the model.
        folder: of its version, where the bundle is.
        parameters: of its configuration.
    """

    name: str
    folder: Path
    parameters: Mapping[str, str]

    @classmethod
    def of(cls, args: Mapping[str, str]) -> Self:
        """From the arguments of `initialize`."""
        written = json.loads(args["model_config"]).get("parameters", {})
        parameters = {name: value["string_value"] for name, value in written.items()}
        return cls(args["model_name"], Path(args["model_repository"], args["model_version"]), parameters)

    def number(self, name: str) -> int:
        """A parameter that is a whole number.

        Raises:
            UsageError: it is none.
        """
        return _number(name, self.parameters.get(name, ""))


def _number(name: str, text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,10}", text):
        raise UsageError(f"parameter {name} is {text!r:.80}; it is a whole number")
    return int(text)
