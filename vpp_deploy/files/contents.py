"""What lies in a folder that whoever writes it did not put there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Set
from pathlib import Path


def others_in(
    folder: Path,
    listed: Set[str],
    *,
    folders: Set[str] = frozenset(),
    is_own: Callable[[str], bool] = lambda name: False,
) -> Iterator[str]:
    """Names, relative to a folder, of what is neither listed nor its own. A link to a folder counts, wherever it leads.

    Args:
        folder: to look through.
        listed: files that belong there, relative to it.
        folders: folders that belong there besides those of the files.
        is_own: whether what has a name that is not listed belongs there too; a folder's content is then not looked at.
    """
    expected = folders | {parent.as_posix() for name in listed for parent in Path(name).parents}
    for place, inner, names in os.walk(folder):
        at = Path(place).relative_to(folder)
        for name in list(inner):
            own = (at / name).as_posix()
            if is_own(own):
                inner.remove(name)
            elif own not in expected or (folder / own).is_symlink():
                yield own
        yield from (own for name in names if (own := (at / name).as_posix()) not in listed and not is_own(own))
