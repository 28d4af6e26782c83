"""Writing a bundle: complete or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final

from vpp_deploy.bundle.contents import others_in_bundle
from vpp_deploy.bundle.hashing import sha256_of_file
from vpp_deploy.bundle.manifest import FileRecord, Manifest
from vpp_deploy.bundle.reader import MANIFEST_FILE, Bundle
from vpp_deploy.errors import BundleError, OutputError
from vpp_deploy.files.atomic import new_folder
from vpp_deploy.files.names import is_utf8
from vpp_deploy.files.outputs import check_places, real_path

_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)


class BundleWriter:
    """A bundle in the making. Without a `commit`, or with an error, nothing is left behind.

    A full disk in the `with` block is an OutputError.

    ```python
    with BundleWriter(Path("small.bundle")) as writer:
        onnx.save(model, writer.folder / "step.onnx")
        bundle = writer.commit(lambda files: Manifest(..., files=files))
    ```

    Attributes:
        target: where the bundle will be.
        folder: where its files are to be written inside the `with` block.

    Args:
        target: the bundle's folder. Its parent must exist.
        overwrite: replace `target` if it exists, is a bundle, and holds nothing else.
    """

    def __init__(self, target: Path | str, *, overwrite: bool = False) -> None:
        self.target = Path(target)
        self._overwrite = overwrite
        self._block = ExitStack()

    def check(self) -> None:
        """See, before any work, that there can be a bundle of that name.

        Raises:
            OutputError: the target exists and may not be replaced, its folder is not there, or its name is not UTF-8.
        """
        if not is_utf8(self.target):
            raise OutputError(
                f"cannot write the bundle {self.target}: its name is not UTF-8, and ONNX Runtime opens no other files: "
                "choose another name"
            )
        check_places(self.target)
        with self._output_errors():
            # Links are followed once, so that overwriting replaces the bundle and not a link to it.
            self._destination = real_path(self.target)
            self._check_target()

    def __enter__(self) -> BundleWriter:
        """Create the folder to write into.

        Raises:
            OutputError: see `check`; or nothing can be created next to the target.
        """
        self.check()
        with self._output_errors():
            self.folder, self._move_into_place = self._block.enter_context(new_folder(self._destination))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._block.close()
        if isinstance(error, OSError) and error.errno in _FULL:  # of whoever wrote a file
            raise OutputError(f"cannot write the bundle {self.target}: {error.strerror}") from error

    def commit(self, manifest: Callable[[Mapping[str, FileRecord]], Manifest]) -> Bundle:
        """Describe the written files, add the manifest and move the bundle into place.

        An older bundle is replaced as a whole; it stays if the move fails.

        Args:
            manifest: builds the manifest from size and hash of every file in `folder`, by relative POSIX path.

        Raises:
            OutputError: the target exists and may not be replaced, or cannot be written.
        """
        with self._output_errors():
            records = self._records()
        content = manifest(records)
        with self._output_errors():
            (self.folder / MANIFEST_FILE).write_text(content.model_dump_json(indent=2) + "\n", encoding="utf-8")
            self._check_target()
            self._move_into_place()
        return Bundle(self.target, content)

    def _records(self) -> dict[str, FileRecord]:
        return {
            path.relative_to(self.folder).as_posix(): FileRecord(bytes=path.stat().st_size, sha256=sha256_of_file(path))
            for path in sorted(self.folder.rglob("*"))
            if path.is_file()
        }

    def _check_target(self) -> None:
        if not os.path.lexists(self._destination):
            return
        if not self._overwrite:
            raise OutputError(f"{self.target} exists already: choose another name, or replace it with --overwrite")
        try:
            old = Bundle.open(self._destination, verify=False)
        except BundleError as error:
            raise OutputError(
                f"{self.target} exists and is not a bundle, so it is not overwritten: choose another name ({error})"
            ) from error
        if other := next(others_in_bundle(old), None):
            raise OutputError(
                f"{self.target} holds more than a bundle ({other}), so it is not overwritten: move that away or choose "
                "another name"
            )

    @contextmanager
    def _output_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(f"cannot write the bundle {self.target}: {error.strerror or error}") from error
