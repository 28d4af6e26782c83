"""Where things are: patterns of paths, and what fsspec knows by a URL, such as object stores."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from vpp_deploy.errors import DependencyError, UsageError, VppDeployError
from vpp_deploy.files import interrupts

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_EXTRAS: Final = {"s3": "s3", "s3a": "s3"}
"""The extra of vpp-deploy that brings what a protocol needs."""


def is_url(text: str) -> bool:
    """Whether something is for fsspec to open, as `s3://bucket/clips` is."""
    return _URL.match(text) is not None


def fixed_part(pattern: str) -> str:
    """The folder that all that a pattern can match lies in; "" for the working folder."""
    parts = pattern.split("/")
    fixed = next(number for number, part in enumerate(parts) if glob.has_magic(part))
    return "/".join(parts[:fixed]) or ("/" if pattern.startswith("/") else "")


def file_system(url: str) -> tuple[AbstractFileSystem, str]:
    """The file system of a URL, and the path in it.

    Raises:
        DependencyError: fsspec, or what it needs for this protocol, is not installed.
        UsageError: there is no such protocol.
    """
    protocol = url.partition("://")[0]
    try:
        import fsspec.core
    except ModuleNotFoundError as error:
        raise DependencyError(
            f"{url} needs fsspec, which is not installed; install it with: pip install vpp-deploy[batch]"
        ) from error
    try:
        found, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        extra = _EXTRAS.get(protocol)
        remedy = f"install it with: pip install vpp-deploy[{extra}]" if extra else str(error)
        raise DependencyError(f"{url} needs a package that is not installed; {remedy}") from error
    except ValueError as error:
        raise UsageError(f"{url}: {error}; give a path, or a URL that fsspec knows") from error
    found.invalidate_cache()  # of an earlier use in this process: others may have written since
    return found, str(path)


@contextmanager
def failing_as(kind: type[VppDeployError], what: str) -> Iterator[None]:
    """A block whose errors become one of ours: every store raises classes of its own.

    Raises:
        kind: whatever went wrong, as one line that begins with `what`.
    """
    try:
        yield
    except VppDeployError:
        raise
    except Exception as error:
        interrupts.let_pass(error)
        reason = getattr(error, "strerror", None) or str(error).strip().partition("\n")[0] or type(error).__name__
        raise kind(f"{what}: {reason}") from error
