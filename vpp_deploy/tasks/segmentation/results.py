"""What a video session returns."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple, overload

import numpy as np
import numpy.typing as npt

from vpp_deploy.errors import UsageError
from vpp_deploy.frames import Frame, Size


class Instance(NamedTuple):
    """One tracked object of one frame.

    Attributes:
        identity: the track number.
        label: index into the bundle's class names.
        name: the class; "" where nobody gave the names.
        score: in [0, 1].
        box: `[4]` float32 `x1, y1, x2, y2` in source pixels.
        mask: `[H0, W0]` bool.
    """

    identity: int
    label: int
    name: str
    score: float
    box: npt.NDArray[np.float32]
    mask: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Instances:
    """The tracked objects of one frame; row n of every array is the same object.

    `instances[instances.scores > 0.5]` is a part of them, `instances[0]` one of them.

    Attributes:
        masks: `[n, H0, W0]` bool, at the source's size.
        boxes: `[n, 4]` float32 `x1, y1, x2, y2` in source pixels, tight around the mask, x2 and y2 exclusive; an
            empty mask gives zeros.
        scores: `[n]` float32 in [0, 1]: class probability times mean mask probability.
        labels: `[n]` int64, index into the bundle's class names.
        identities: `[n]` int64, the track number, unique in the stream; numbers may have gaps.
        names: the class of each label; empty where nobody gave them (a `VideoSession` does not, a model does).
    """

    masks: npt.NDArray[np.bool_]
    boxes: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    identities: npt.NDArray[np.int64]
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.identities)

    @overload
    def __getitem__(self, rows: int) -> Instance: ...

    @overload
    def __getitem__(self, rows: slice | npt.ArrayLike) -> Instances: ...

    def __getitem__(self, rows: Any) -> Instance | Instances:
        if isinstance(rows, int | np.integer) and not isinstance(rows, bool):
            label = int(self.labels[rows])
            name = self.names[label] if self.names else ""
            score, identity = float(self.scores[rows]), int(self.identities[rows])
            return Instance(identity, label, name, score, self.boxes[rows], self.masks[rows])
        chosen = rows if isinstance(rows, slice) else np.asarray(rows)
        if isinstance(chosen, np.ndarray) and chosen.size == 0:
            chosen = chosen.astype(np.intp)  # an empty list has no type
        return Instances(
            self.masks[chosen],
            self.boxes[chosen],
            self.scores[chosen],
            self.labels[chosen],
            self.identities[chosen],
            self.names,
        )

    def __iter__(self) -> Iterator[Instance]:
        return (self[row] for row in range(len(self)))

    def of_class(self, *names: str) -> Instances:
        """The objects of some classes.

        Args:
            names: of the bundle's class names.

        Raises:
            UsageError: an unknown name, or nobody gave the names.
        """
        for name in names:
            if name not in self.names:
                known = ", ".join(self.names) or "not known here: take the result of a model, not of a session"
                raise UsageError(f"there is no class {name!r:.80}; classes are {known:.400}")
        return self[np.isin(self.labels, [self.names.index(name) for name in names])]


@dataclass(frozen=True, slots=True)
class FrameResult:
    """One frame's outcome.

    Attributes:
        index: position of the frame in the stream, from 0.
        time: presentation time of the frame in seconds, or None.
        original_size: height and width of the source frame in pixels.
        instances: the tracked objects.
        kept: for each selection point, by name, the kept token positions `[K]` int32, ascending, row-major on `grid`.
        grid: rows and columns of the model's token grid.
        candidates_dropped: queries that could have mattered but did not fit the bundle's `max_detections`. 0 normally.
        tracks_not_fed: tracks in memory that did not fit the bundle's `max_tracks` and were not fed to this frame.
        seconds: wall time of this frame by part (`engine`, `host`), in seconds.
        cut: a new scene begins here, see `VideoSession.cut`: no state, and none of the earlier identities.
        frame: what went in; None from a `VideoSession`, which does not keep it. A model's results hold it, for `plot`:
            a copy of the picture that was given.
    """

    index: int
    time: Fraction | None
    original_size: Size
    instances: Instances
    kept: Mapping[str, npt.NDArray[np.int32]]
    grid: Size
    candidates_dropped: int
    tracks_not_fed: int
    seconds: Mapping[str, float]
    cut: bool = False
    frame: Frame | None = None

    def __len__(self) -> int:
        return len(self.instances)

    def __iter__(self) -> Iterator[Instance]:
        return iter(self.instances)

    @property
    def names(self) -> tuple[str, ...]:
        """The class of each label."""
        return self.instances.names

    @property
    def keep_ratios(self) -> dict[str, float]:
        """Share of all tokens kept at each selection point, in [0, 1]."""
        tokens = self.grid[0] * self.grid[1]
        return {name: len(positions) / tokens for name, positions in self.kept.items()}

    def plot(self, draw: str | None = None, *, header: bool = True) -> npt.NDArray[np.uint8]:
        """The overlay, as `infer` draws it (but for trails): `[H, W0, 3]` uint8 RGB, H0 rows of picture above a bar.

        Args:
            draw: masks, boxes, labels and patches, those that are wanted, separated by commas; or none. None draws all
                but boxes.
            header: with the bar, which has a legend. Without it the result has the frame's own size.

        Raises:
            UsageError: the result has no frame or no class names: it is of a `VideoSession`, not of a model. Or `draw`
                names something else.
        """
        from vpp_deploy.tasks.overlay_style import parse_style
        from vpp_deploy.tasks.segmentation.options import PARTS, SHOWN
        from vpp_deploy.tasks.segmentation.overlay import Overlay

        if self.frame is None or not self.names:
            raise UsageError("this result holds no frame: draw(frame, result, class_names) takes it from you")
        style = parse_style(draw, "on" if header else "off", PARTS, SHOWN)
        return Overlay(self.original_size, self.names, points=len(self.kept), style=style)(self.frame, self)

    def save(self, path: str | os.PathLike[str], draw: str | None = None, *, header: bool = True) -> None:
        """Write what `plot` draws as a picture.

        Args:
            path: its extension says the kind, such as `.png` or `.jpg`. An existing file is replaced.
            draw: see `plot`.
            header: see `plot`.

        Raises:
            UsageError: as `plot`; or an extension that says nothing.
            OutputError: it cannot be written.
        """
        from vpp_deploy.media.picture_writer import write_picture

        write_picture(self.plot(draw, header=header), path)

    def to_dict(self) -> dict[str, Any]:
        """The frame as a line of `infer --json` has it; masks as COCO's run-length encoding."""
        from vpp_deploy.tasks.segmentation.writers import frame_record

        return frame_record(self, "" if self.frame is None else self.frame.name, self.names)

    def to_json(self) -> str:
        """`to_dict` as JSON."""
        return json.dumps(self.to_dict(), allow_nan=False)

    def to_coco(self, image_id: int | None = None) -> list[dict[str, Any]]:
        """The instances as COCO results; categories are labels + 1, boxes `[x, y, width, height]`.

        Args:
            image_id: of the frame in the data set; None takes `index`.
        """
        from vpp_deploy.tasks.segmentation.conversions import to_coco

        return to_coco(self, self.index if image_id is None else image_id)

    def to_pandas(self) -> Any:
        """A `pandas.DataFrame` with a row for each instance: frame, time, identity, label, name, score, box, area.

        Raises:
            DependencyError: pandas is not installed.
        """
        from vpp_deploy.tasks.segmentation.conversions import to_pandas

        return to_pandas(self)

    def to_supervision(self) -> Any:
        """The instances as `supervision.Detections` (Roboflow), with masks, track numbers and class names.

        Raises:
            DependencyError: supervision is not installed.
        """
        from vpp_deploy.tasks.segmentation.conversions import to_supervision

        return to_supervision(self)
