"""Files of the repository that pages link to, as pages of the site, so that no link leads out of it."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
HOME: Final = "repository"
"""Where these pages are in the site."""

_LINK: Final = re.compile(r"\]\(([^)\s#]+)((?:#[^)\s]*)?)\)")
_LANGUAGES: Final = {".cpp": "cpp", ".hpp": "cpp", ".json": "json", ".py": "python", ".sh": "bash", ".toml": "toml"}


def place(path: str) -> str:
    """Where a file of the repository is in the site: `docs/ops.md` at `ops.md`, others below `HOME`.

    Args:
        path: relative to the repository, with `/`.
    """
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return posixpath.join(HOME, path if path.endswith(".md") else f"{path}.md")


def linked(path: str, markdown: str) -> set[str]:
    """The files and folders of the repository that a page of it links to."""
    return {target for match in _LINK.finditer(markdown) if (target := _target(path, match[1]))}


def rewritten(path: str, markdown: str) -> str:
    """A page of the repository as the site needs it: with its own links, and Markdown also within details.

    Args:
        path: of the page in the repository.
        markdown: what is in it.
    """
    start = posixpath.dirname(place(path))

    def moved(match: re.Match[str]) -> str:
        target = _target(path, match[1])
        return f"]({posixpath.relpath(place(target), start or '.')}{match[2]})" if target else match[0]

    return _LINK.sub(moved, markdown.replace("<details>", "<details markdown>"))


def pages(starts: Iterable[str]) -> dict[str, str]:
    """Pages for everything outside of `docs` that is linked to, from page to page.

    Args:
        starts: paths of pages, relative to the repository.

    Returns:
        Markdown by place in the site.
    """
    found: dict[str, str] = {}
    seen: set[str] = set()
    waiting = list(starts)
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        markdown = _markdown(path)
        if path.endswith(".md"):
            waiting += linked(path, markdown)
        if not path.startswith("docs/"):
            found[place(path)] = rewritten(path, markdown) if path.endswith(".md") else markdown
    return found


def _target(path: str, link: str) -> str | None:
    if "://" in link or link.startswith("mailto:"):
        return None
    target = posixpath.normpath(posixpath.join(posixpath.dirname(path), link))
    return None if target.startswith("..") or not (ROOT / target).exists() else target


def _markdown(path: str) -> str:
    file = ROOT / path
    if path.startswith("docs/") and not path.endswith(".md"):
        return ""
    if file.is_dir():
        entries = sorted(one for one in file.iterdir() if one.is_file() and one.suffix in (*_LANGUAGES, ".md"))
        parts = [f"## {one.name}\n\n{_fenced(one)}" for one in entries]
        return f"# {path}\n\n" + "\n".join(parts)
    if path.endswith(".md"):
        return file.read_text(encoding="utf-8")
    return f"---\nsearch: {{exclude: true}}\n---\n# {file.name}\n\n{_fenced(file)}"


def _fenced(file: Path) -> str:
    return f"````{_LANGUAGES.get(file.suffix, 'text')}\n{file.read_text(encoding='utf-8').rstrip()}\n````\n"
