"""What MkDocs asks while it builds the site: pages that are made from the source, and links out of `docs`.

`make docs` builds it; see `mkdocs.yml`.
"""

from __future__ import annotations

import inspect
import re
from typing import Any, Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pymdownx.slugs import slugify

import vpp_deploy
from tools import docs_commands, docs_manifest, docs_messages, docs_repository
from vpp_deploy.errors import ExitCode

TROUBLESHOOTING: Final = docs_repository.ROOT / "docs" / "troubleshooting.md"
FRONT: Final = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages, and put pages that the navigation does not name at its end."""
    own = sorted(file.src_uri for file in files.documentation_pages())
    generated = {
        "reference/api.md": api(),
        "reference/commands.md": docs_commands.page(),
        "reference/manifest.md": docs_manifest.page(),
        "reference/messages.md": messages(),
        **docs_repository.pages([*FRONT, *(f"docs/{path}" for path in own)]),
    }
    for place, markdown in generated.items():
        files.append(File.generated(config, place, content=markdown))
    named = set(re.findall(r"[\w./-]+\.md", str(config.nav)))
    if more := [path for path in own if path not in named]:
        config.nav = [*(config.nav or []), {"More": more}]
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links out of `docs` to the pages that stand for those files."""
    if page.file.generated_by is not None:
        return markdown
    return docs_repository.rewritten(f"docs/{page.file.src_uri}", markdown)


def api() -> str:
    """The reference of what `import vpp_deploy` gives, which mkdocstrings fills."""
    homes: dict[str, Any] = vpp_deploy._HOMES
    lines = ["# Python", "", "What `import vpp_deploy` offers. Names are imported when they are first used.", ""]
    for name in sorted(homes, key=str.lower):
        lines += [f"::: {homes[name]}.{name}", ""]
    return "\n".join(lines)


def messages() -> str:
    """Every message of an error, by exit code and class."""
    found = docs_messages.messages()
    explained = headings()
    lines = [
        "# Messages",
        "",
        "Every message of an error, read from the source of this version. Words in capitals are filled in: to find",
        "a message of yours, search for what stands between names and numbers. What to do stands in the message,",
        "mostly at its end; [Troubleshooting](../troubleshooting.md) says more about the most frequent ones, and",
        "[Exit codes](../exit_codes.md) about the codes. Not here: what the parser of the command line says (exit",
        "code 2, `see vpp-deploy COMMAND --help`), and what the system says, such as a full disk (exit code 9).",
        "",
    ]
    for code in [*ExitCode, None]:
        chosen = [one for one in found if one.exit_code == code]
        if not chosen:
            continue
        lines += [f"## Exit code {int(code)}" if code is not None else "## Of files of several kinds", ""]
        if code is None:
            lines += ["The exit code is that of the kind of file: mostly 9.", ""]
        for error in sorted({one.error for one in chosen}):
            if code is not None:
                lines += [f"### {error}", "", inspect.getdoc(docs_messages.ERRORS[error]) or "", ""]
            for one in chosen:
                if one.error == error:
                    more = explained.get(one.text.replace("`", "'"))
                    lines.append(_entry(one) + (f" [more](../troubleshooting.md#{more})" if more else ""))
            lines.append("")
    return "\n".join(lines)


def headings() -> dict[str, str]:
    """The messages that the troubleshooting page explains, and the anchors of their sections there.

    A message stands in its heading as code, with apostrophes for its own backticks.
    """
    anchor = slugify(case="lower")
    found = re.findall(r"^### `(.+)`$", TROUBLESHOOTING.read_text(encoding="utf-8"), re.MULTILINE)
    return {message: anchor(message, "-") for message in found}


def _entry(one: docs_messages.Message) -> str:
    modules = ", ".join(module.removesuffix(".py").removesuffix("/__init__") for module in one.modules)
    return f'- <a id="{one.anchor}" href="#{one.anchor}">#</a> `` {one.text} `` <small>{modules}</small>'
