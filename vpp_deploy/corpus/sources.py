"""The files of a corpus: of a folder, a pattern, a list, or an object store."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from vpp_deploy.corpus.items import SourceFile, natural_name
from vpp_deploy.corpus.locations import failing_as, file_system, fixed_part, is_url
from vpp_deploy.errors import VideoError
from vpp_deploy.files.reading import read_bytes
from vpp_deploy.media.inputs import LIST_SUFFIX, lines_of
from vpp_deploy.media.probe import missing

_MOST_BYTES_OF_LIST: Final = 400_000_000
_AT_ONCE: Final = 32
"""Questions to a store that may be open."""
_VERSIONS: Final = (
    "ETag",
    "etag",
    "md5Hash",
    "content_md5",
    "LastModified",
    "last_modified",
    "updated",
    "mtime",
    "created",
)
"""What stores call what changes with a content, best first."""


def find_files(corpus: str) -> Iterator[SourceFile]:
    """The files of a corpus. Of a folder all in it and in the folders in that, but hidden ones.

    Args:
        corpus: a folder, a file, a pattern of `glob`, a list file (`.txt`), or one of these as a URL.

    Raises:
        VideoError: there is no such place, or it cannot be read.
        DependencyError, UsageError: see `file_system`.
    """
    if is_url(corpus):
        yield from _of_store(corpus)
    elif corpus.lower().endswith(LIST_SUFFIX) and os.path.isfile(corpus):
        yield from _listed(corpus, read_bytes(Path(corpus), VideoError, what="list", limit=_MOST_BYTES_OF_LIST))
    elif os.path.isdir(corpus):
        yield from _of_folder(corpus, corpus)
    elif os.path.exists(corpus):
        yield _local(corpus, os.path.basename(corpus), named=True)
    elif glob.has_magic(corpus):
        root = fixed_part(corpus)
        with failing_as(VideoError, f"{corpus}: cannot be searched"):
            found = sorted(glob.glob(corpus, recursive=True))
        for path in found:
            if os.path.isfile(path):
                yield _local(path, os.path.relpath(path, root or "."), named=True)
            elif "**" not in corpus:
                yield from _of_folder(path, root or ".")
    else:
        raise VideoError(missing(Path(corpus)))


def _of_folder(folder: str, root: str) -> Iterator[SourceFile]:
    def refuse(error: OSError) -> None:
        raise VideoError(f"{error.filename}: cannot list this folder: {error.strerror}; check its permissions")

    for place, inner, names in os.walk(folder, onerror=refuse):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        for name in sorted(names):
            path = os.path.join(place, name)
            if not name.startswith(".") and not _is_something_else(path):
                yield _local(path, os.path.relpath(path, root))


def _is_something_else(path: str) -> bool:
    """A device, a FIFO or a socket; a link that leads nowhere is a file that cannot be read."""
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False


def _local(path: str, name: str, *, named: bool = False) -> SourceFile:
    location, name = os.path.abspath(path), name.replace(os.sep, "/")
    try:
        found = os.stat(path)
    except (OSError, ValueError) as error:  # whoever runs it says so, of this one alone
        return SourceFile(location, name, -1, str(getattr(error, "strerror", None) or error), named)
    return SourceFile(location, name, found.st_size, str(found.st_mtime_ns), named)


def _listed(corpus: str, content: bytes) -> Iterator[SourceFile]:
    """What a list names: paths, relative ones from the list's own folder, and URLs."""
    entries = list(lines_of(content))
    base = corpus.rpartition("/")[0]
    urls = [entry if is_url(entry) else f"{base}/{entry}" for entry in entries if is_url(entry) or is_url(corpus)]
    remote = iter(_asked(urls))
    for entry in entries:
        if is_url(entry) or is_url(corpus):
            yield next(remote)
            continue
        path = os.path.join(base, entry)
        if os.path.isdir(path):
            prefix = natural_name(entry)
            for file in _of_folder(path, path):
                yield SourceFile(file.location, f"{prefix}/{file.name}", file.size, file.version)
        else:
            yield _local(path, natural_name(entry), named=True)


def _of_store(corpus: str) -> Iterator[SourceFile]:
    system, root = file_system(corpus)
    with failing_as(VideoError, f"{corpus}: cannot be read"):
        if corpus.lower().endswith(LIST_SUFFIX):
            content: bytes = system.cat_file(root)
            yield from _listed(corpus, content)
            return
        if glob.has_magic(corpus.partition("://")[2]):
            found = system.glob(root, detail=True)
            start, named = fixed_part(root), True
        else:
            found = system.find(root, detail=True)
            start, named = root.rstrip("/"), False
        for path, facts in sorted(found.items()):
            name = path.removeprefix(start).lstrip("/")
            if facts.get("type") == "file" and not any(part.startswith(".") for part in name.split("/")):
                whole = name or path.rpartition("/")[2]  # the URL is that of one file
                yield _remote(system.unstrip_protocol(path), whole, facts, named=named or not name)
    if not found:
        raise VideoError(f"{corpus}: there is nothing; check the URL")


def _asked(urls: list[str]) -> Iterator[SourceFile]:
    """Files of stores that are named one by one, in their order."""
    if not urls:
        return
    systems = {protocol: file_system(f"{protocol}://x/y")[0] for protocol in {url.partition("://")[0] for url in urls}}

    def ask(url: str) -> SourceFile:
        try:
            return _remote(url, natural_name(url), systems[url.partition("://")[0]].info(url), named=True)
        except Exception as error:  # each store has errors of its own; whoever runs it says so, of this one alone
            return SourceFile(url, natural_name(url), -1, type(error).__name__, True)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        yield from pool.map(ask, urls)


def _remote(url: str, name: str, facts: Mapping[str, Any], *, named: bool) -> SourceFile:
    tags = [str(facts[key]) for key in _VERSIONS if facts.get(key)]
    return SourceFile(url, name, int(facts.get("size") or 0), tags[0] if tags else "", named)
