"""Colours that people with any colour vision tell apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from vpp_deploy.media.drawing import Colour

# Okabe and Ito, "Color Universal Design", 2002 (jfly.uni-koeln.de/color), but for black; ordered for contrast.
_TRACKS: Final[tuple[Colour, ...]] = (
    (230, 159, 0),  # orange
    (86, 180, 233),  # sky blue
    (213, 94, 0),  # vermilion
    (0, 158, 115),  # bluish green
    (240, 228, 66),  # yellow
    (204, 121, 167),  # reddish purple
    (0, 114, 178),  # blue
)

_REMEMBERED: Final = 10_000
"""Identities whose colours are known still."""

# Every 32nd colour of viridis (van der Walt and Smith, 2015; CC0), whose lightness grows evenly.
_VIRIDIS: Final = ("440154", "472d7b", "3b528b", "2c728e", "21918c", "28ae80", "5ec962", "addc30", "fde725")


class IdentityColours:
    """Colours that stay with identities, and differ among those that are seen together as far as there are enough."""

    def __init__(self) -> None:
        self._chosen: dict[int, Colour] = {}

    def of(self, identities: Sequence[int]) -> list[Colour]:
        """The colours of the identities of one frame."""
        seen = {self._chosen[identity] for identity in identities if identity in self._chosen}
        for identity in identities:
            if identity not in self._chosen:
                first = identity % len(_TRACKS)
                order = _TRACKS[first:] + _TRACKS[:first]
                self._chosen[identity] = next((colour for colour in order if colour not in seen), order[0])
                seen.add(self._chosen[identity])
        found = [self._chosen[identity] for identity in identities]
        while len(self._chosen) > _REMEMBERED:
            del self._chosen[next(iter(self._chosen))]
        return found


def heat(values: npt.ArrayLike) -> npt.NDArray[np.uint8]:
    """Colours `[..., 3]` of values in [0, 1]: dark blue for the least, bright yellow for the greatest."""
    return _HEAT[np.round(255 * np.asarray(values)).astype(np.intp)]


def readable_on(colour: Colour) -> Colour:
    """Black or white, whichever is easier to read on a colour."""
    luminance = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
    return (0, 0, 0) if luminance > 128 else (255, 255, 255)


def _table() -> npt.NDArray[np.uint8]:
    known = np.array([tuple(bytes.fromhex(colour)) for colour in _VIRIDIS])
    places = np.linspace(0, 255, len(known))
    channels = [np.interp(np.arange(256), places, known[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=1).round().astype(np.uint8)


_HEAT: Final = _table()
