"""What `vpp-deploy infer` does with several inputs: a run for each, and what its outputs are called."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from vpp_deploy.errors import UsageError
from vpp_deploy.files.outputs import fitting
from vpp_deploy.media.image_folder_reader import names_of
from vpp_deploy.media.input_file import InputFile
from vpp_deploy.media.inputs import Inputs, output_names
from vpp_deploy.media.kinds import IMAGE_SUFFIXES
from vpp_deploy.media.probe import is_still
from vpp_deploy.media.writer import FORMATS

_JSON_LINES: Final = ".jsonl"
_OTHERS: Final = ".json"
_FILES: Final = frozenset((*FORMATS, *IMAGE_SUFFIXES, ".avi", ".webm", ".json", ".jsonl", ".csv", ".npy", ".npz"))
"""Endings that name a file; a folder may well be called run.2, or front.left."""


@dataclass(frozen=True)
class Job:
    """One run.

    Attributes:
        read: what is read, and how.
        output: the overlay, or None.
        json: file of JSON lines, or None.
        others: further outputs, by option.
    """

    read: InputFile
    output: Path | None = None
    json: Path | None = None
    others: Mapping[str, Path] = field(default_factory=dict)

    @property
    def paths(self) -> tuple[Path, ...]:
        """What will be written."""
        return tuple(path for path in (self.output, self.json, *self.others.values()) if path is not None)


def plan_jobs(
    inputs: Inputs, wanted: Job, reading: Mapping[str, Any], suffixes: tuple[str, str], *, together: bool
) -> list[Job]:
    """The runs over inputs, in order.

    Args:
        inputs: what was named.
        wanted: the outputs that were asked for: of several inputs, folders.
        reading: options of `InputFile`.
        suffixes: of an output that is made of a video, and of a picture.
        together: pictures have nothing to do with each other, so that several are one run, as those of a folder.

    Raises:
        UsageError: there are several runs, and an output has the name of a file.
    """
    locations = inputs.locations
    if not inputs.several or (together and all(map(is_still, locations))):
        read = InputFile(locations[0], further=locations[1:], **reading)
        return [Job(read, wanted.output, wanted.json, wanted.others)]
    check_folders(wanted.paths)
    jobs = []
    pictures = [location for location in locations if Path(location).suffix.lower() in IMAGE_SUFFIXES]
    called = dict(zip(pictures, names_of([Path(picture) for picture in pictures]), strict=True))
    for location, name in zip(locations, output_names(locations), strict=True):
        # A folder of pictures that have nothing to do with each other, perhaps not even their size, is no video.
        a_folder = together and os.path.isdir(location)
        suffix = suffixes[is_still(location)] if wanted.output and not a_folder else ""
        others = {option: folder / fitting(name, _OTHERS) for option, folder in wanted.others.items()}
        jobs.append(
            Job(
                InputFile(location, **reading, prefix=called.get(location, "").removesuffix(Path(location).name)),
                wanted.output and wanted.output / fitting(name, suffix),
                wanted.json and wanted.json / fitting(name, _JSON_LINES),
                others,
            )
        )
    return jobs


def check_folders(paths: Sequence[Path]) -> None:
    """See that outputs of several inputs have names of folders: those that end as files do are mistakes.

    Raises:
        UsageError: a name has the extension of a file, and no folder has that name.
    """
    for path in paths:
        if path.suffix.lower() in _FILES and not os.path.isdir(path):
            raise UsageError(
                f"{path}: outputs of several inputs go into a folder, and {path.suffix} is the ending of a file; leave "
                "it out, or make the folder first"
            )
