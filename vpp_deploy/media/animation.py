"""A film in a picture file (animated GIF, PNG, WebP or AVIF) as a video."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Final

from vpp_deploy.errors import VideoError
from vpp_deploy.media.notes import Notes
from vpp_deploy.media.pictures import PictureFile
from vpp_deploy.media.selection import ALL, Selection
from vpp_deploy.media.source import Picture

_UNTIMED: Final = 100
"""Milliseconds that a picture without a duration is shown, as browsers do."""


class Animation:
    """The pictures of a film in a picture file; see `Source`.

    Args:
        file: an animated one; it is closed with the animation.
        notes: what there is to say about the pictures.
        selection: which of them.
    """

    frame_rate: Fraction | None = None
    time_base: Fraction | None = Fraction(1, 1000)

    def __init__(self, file: PictureFile, notes: Notes, selection: Selection = ALL) -> None:
        self._file, self._notes, self._selection = file, notes, selection
        self.frame_count: int | None = selection.count(file.count, None)
        self.problem: str | None = None

    @property
    def notes(self) -> Sequence[str]:
        """What there is to say about the pictures."""
        return self._notes.lines

    def pictures(self) -> Iterator[Picture]:
        """The chosen pictures up to the first damaged one, each at the sum of the durations of those before it.

        Raises:
            VideoError: the first one is damaged.
        """
        timed = ((picture.time, picture) for picture in self._all())
        return (picture for _, picture in self._selection.choose(timed, str(self._file.path)))

    def _all(self) -> Iterator[Picture]:
        time = Fraction(0)
        film = self._file.film(self._notes)
        while True:
            try:
                image, milliseconds = next(film)
            except StopIteration:
                return
            except VideoError:
                if not time:
                    raise
                self.problem = f"{self._file.path}: damaged or cut short: it announces {self._file.count} pictures"
                return
            yield Picture(image, time)
            time += Fraction(round(milliseconds) or _UNTIMED, 1000)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
