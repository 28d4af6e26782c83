"""Writing a bundle: complete or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from vpp_deploy.bundle.atomic import replace_folder, temporary_sibling
from vpp_deploy.bundle.hashing import sha256_of_file
from vpp_deploy.bundle.manifest import FileRecord, Manifest
from vpp_deploy.bundle.reader import MANIFEST_FILE, Bundle
from vpp_deploy.errors import OutputError


class BundleWriter:
    """A bundle in the making. Without a `commit`, or with an error, nothing is left behind.

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
        overwrite: replace `target` if it exists and is a bundle.
    """

    def __init__(self, target: Path | str, *, overwrite: bool = False) -> None:
        self.target = Path(target)
        # Links are followed once, so that overwriting replaces the bundle and not a link to it.
        self._destination = Path(os.path.realpath(self.target))
        self._overwrite = overwrite
        self.folder = temporary_sibling(self._destination)

    def __enter__(self) -> BundleWriter:
        """Create the folder to write into.

        Raises:
            OutputError: the target exists and may not be replaced, or nothing can be created next to it.
        """
        with self._output_errors():
            self._check_target()
            self.folder.mkdir()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

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
            replace_folder(self.folder, self._destination)
        return Bundle(self.target, content)

    def _records(self) -> dict[str, FileRecord]:
        return {
            path.relative_to(self.folder).as_posix(): FileRecord(bytes=path.stat().st_size, sha256=sha256_of_file(path))
            for path in sorted(self.folder.rglob("*"))
            if path.is_file()
        }

    def _check_target(self) -> None:
        if not self._destination.exists():
            return
        if not self._overwrite:
            raise OutputError(f"{self.target} exists already: choose another name or allow overwriting")
        if not (self._destination / MANIFEST_FILE).is_file():
            raise OutputError(
                f"{self.target} exists and is not a bundle, so it is not overwritten: choose another name"
            )

    @contextmanager
    def _output_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(f"cannot write the bundle {self.target}: {error.strerror or error}") from error
