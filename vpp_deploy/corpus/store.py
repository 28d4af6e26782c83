"""Where results go: a folder, or a place in an object store. What is put there appears whole or not at all."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Final, Protocol, cast

from vpp_deploy.corpus.locations import failing_as, file_system, is_url
from vpp_deploy.corpus.markers import FOLDER as MARKERS
from vpp_deploy.errors import OutputError
from vpp_deploy.files.atomic import atomic_file
from vpp_deploy.files.temporary import Temporary, is_temporary, locked_folder

_PROBE: Final = f"{MARKERS}/probe"


class Store(Protocol):
    """A place for results, by names with `/` between their parts. Every method raises `OutputError`."""

    def prepare(self) -> None:
        """See that it can be written to."""
        ...

    @contextmanager
    def alone(self) -> Iterator[None]:
        """A block in which no other run of this machine writes to it, as far as that can be told."""
        ...

    def sizes(self, folder: str) -> dict[str, int | None]:
        """What there is in a folder of it and in the folders in that, by name, in bytes; None where they are not known.

        Nothing where there is no such folder.
        """
        ...

    def open(self, name: str) -> BinaryIO:
        """Something of it, for reading."""
        ...

    def check(self, names: Iterable[str]) -> None:
        """See, before any work, that nothing but files stands where files are to be put."""
        ...

    def write(self, name: str, content: bytes) -> None:
        """Put bytes there, in place of what has the name."""
        ...

    def take(self, file: Path, name: str) -> None:
        """Put a file of a scratch folder (see `scratch`) there, in place of what has the name. It is moved."""
        ...

    def delete(self, name: str) -> None:
        """Remove something, if it is there."""
        ...

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder on this machine for what is not ready. It goes after the block; if that is killed, with the next."""
        ...


def open_store(place: str) -> Store:
    """The store at a path or URL. Nothing is looked up or made.

    Raises:
        DependencyError, UsageError: see `file_system`.
    """
    return ObjectStore(place) if is_url(place) else FolderStore(Path(place))


class FolderStore:
    """A folder of this machine, or one that several machines share.

    Args:
        folder: is made if there is none.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self._given = folder

    def __str__(self) -> str:
        return str(self._given)

    def prepare(self) -> None:
        """See that it can be written to."""
        self.write(_PROBE, b"")
        self.delete(_PROBE)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """See `Store`."""
        with ExitStack() as stack:
            try:
                stack.enter_context(locked_folder(self.folder / MARKERS, wait=False))
            except BlockingIOError as error:
                raise OutputError(
                    f"{self._given}: another run writes here; wait for it, or give each a place of its own"
                ) from error
            except OSError as error:
                raise OutputError(f"{self._given / MARKERS}: cannot be locked: {error.strerror or error}") from error
            yield

    def sizes(self, folder: str) -> dict[str, int | None]:
        """See `Store`."""
        found: dict[str, int | None] = {}
        for place, _, files in os.walk(self.folder / folder, onerror=self._refuse):
            at = Path(place).relative_to(self.folder).as_posix()
            for file in files:
                if not is_temporary(file):
                    with suppress(FileNotFoundError):  # removed meanwhile, or a link that leads nowhere
                        found[f"{at}/{file}"] = os.stat(f"{place}/{file}").st_size
        return found

    def open(self, name: str) -> BinaryIO:
        """See `Store`."""
        with failing_as(OutputError, f"{self._given / name}: cannot be read"):
            return (self.folder / name).open("rb")

    def check(self, names: Iterable[str]) -> None:
        """See `Store`."""
        places = {""}
        for name in names:
            with failing_as(OutputError, f"{self._given / name}: cannot be written"), suppress(FileNotFoundError):
                place, _, _ = name.rpartition("/")
                if place not in places:
                    self._check_place(place)
                    places.add(place)
                if not stat.S_ISREG(os.stat(self.folder / name).st_mode):
                    raise OutputError(f"{self._given / name}: this is no file; move it, or choose another place")

    def _check_place(self, place: str) -> None:
        there = next(one for one in (self.folder / place, *(self.folder / place).parents) if os.path.lexists(one))
        shown = self._given / there.relative_to(self.folder)
        if not there.is_dir():
            raise OutputError(f"{shown}: this is no folder; move it, or choose another place")
        if not os.access(there, os.W_OK | os.X_OK):
            raise OutputError(f"{shown}: cannot be written to; change its permissions, or choose another place")

    def write(self, name: str, content: bytes) -> None:
        """See `Store`."""
        with failing_as(OutputError, f"{self._given / name}: cannot be written"):
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            with atomic_file(self.folder / name) as file:
                file.write(content)

    def take(self, file: Path, name: str) -> None:
        """See `Store`."""
        with failing_as(OutputError, f"{self._given / name}: cannot be written"):
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            with file.open("r+b") as content:  # on the disk before its name, so that no marker outlives its result
                os.fsync(content.fileno())
            os.replace(file, self.folder / name)

    def delete(self, name: str) -> None:
        """See `Store`."""
        with failing_as(OutputError, f"{self._given / name}: cannot be removed"):
            (self.folder / name).unlink(missing_ok=True)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """See `Store`: in the folder itself, so that files can be renamed into place."""
        with _scratch_beside(self.folder / "scratch") as folder:
            yield folder

    def _refuse(self, error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            shown = self._given / Path(error.filename).relative_to(self.folder)
            raise OutputError(f"{shown}: cannot be listed: {error.strerror or error}") from error


class ObjectStore:
    """A place that fsspec knows. One object appears at once; renaming is not needed.

    Args:
        url: such as `s3://bucket/results`.

    Raises:
        DependencyError, UsageError: see `file_system`.
    """

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._system, root = file_system(self._url)
        self._root = root.rstrip("/")

    def __str__(self) -> str:
        return self._url

    def prepare(self) -> None:
        """See that it can be written to."""
        self.write(_PROBE, b"")
        self.delete(_PROBE)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """See `Store`: it cannot be told of a store of objects."""
        yield

    def sizes(self, folder: str) -> dict[str, int | None]:
        """See `Store`."""
        with failing_as(OutputError, f"{self._url}: cannot be listed"):
            self._system.invalidate_cache()
            try:
                found = self._system.find(f"{self._root}/{folder}", detail=True)
            except FileNotFoundError:
                return {}
        return {path.removeprefix(f"{self._root}/"): facts.get("size") for path, facts in found.items()}

    def open(self, name: str) -> BinaryIO:
        """See `Store`."""
        with failing_as(OutputError, f"{self._url}/{name}: cannot be read"):
            return cast(BinaryIO, self._system.open(f"{self._root}/{name}", "rb"))

    def check(self, names: Iterable[str]) -> None:
        """See `Store`: nothing can stand in the way of an object."""

    def write(self, name: str, content: bytes) -> None:
        """See `Store`."""
        with failing_as(OutputError, f"{self._url}/{name}: cannot be written"):
            self._system.pipe_file(f"{self._root}/{name}", content)

    def take(self, file: Path, name: str) -> None:
        """See `Store`."""
        with failing_as(OutputError, f"{self._url}/{name}: cannot be written"):
            self._system.put_file(str(file), f"{self._root}/{name}")
            file.unlink()

    def delete(self, name: str) -> None:
        """See `Store`."""
        with failing_as(OutputError, f"{self._url}/{name}: cannot be removed"):
            try:
                self._system.rm_file(f"{self._root}/{name}")
            except FileNotFoundError:
                return

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """See `Store`: in the folder for temporary files, under a name that belongs to this store."""
        mark = sha256(self._url.encode()).hexdigest()[:12]
        with _scratch_beside(Path(tempfile.gettempdir()) / f"vpp-deploy-batch-{mark}") as folder:
            yield folder


@contextmanager
def _scratch_beside(target: Path) -> Iterator[Path]:
    with failing_as(OutputError, f"{target.parent}: cannot be written"):
        temporary = Temporary(target, folder=True)
    try:
        yield temporary.path
    finally:
        temporary.remove()
