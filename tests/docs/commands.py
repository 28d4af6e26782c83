"""Commands as the documentation shows them, and whether they are ones that there are."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.conftest import REPOSITORY
from tests.docs import pages
from vpp_deploy.cli.commands import whole
from vpp_deploy.engines import BACKENDS
from vpp_deploy.exporters.precision import PRECISIONS
from vpp_deploy.families import FAMILIES

COMMANDS: dict[str, Any] = whole().commands
ELSEWHERE = {
    ".",
    "apt-get",
    "cmake",
    "ctest",
    "curl",
    "docker",
    "export",
    "ffmpeg",
    "kubectl",
    "pytest",
    "ray",
    "tritonserver",
}
"""Programs of others."""
SHELLS = ("", "sh", "bash", "console")
MAKE = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
EXTRAS = set(tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"])
ENGINES = {*BACKENDS, "torch"}


def lines_of(text: str) -> list[list[str]]:
    """The words of each command of a block."""
    found = []
    for line in re.sub(r"\\\n\s*", " ", text).replace("|\n", "| ").splitlines():
        lexer = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars="|&;<>")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if word in ("|", "&&", "&", ";"):
                while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                    words = words[1:]
                found += [words] if words else []
                words = []
            else:
                words.append(word)
    return found


def program(words: list[str]) -> str:
    return Path(words[0]).name or words[0]


def is_shell(block: pages.Block) -> bool:
    """Whether a block is of commands, and not a listing or a picture."""
    if block.language not in SHELLS:
        return False
    if block.language:
        return True
    try:
        first = lines_of(block.text)[:1]
    except ValueError:  # quotes that do not close: a picture
        return False
    known = {*ELSEWHERE, "vpp-deploy", "make", "pip", "python", "vpp_infer"}
    return bool(first) and program(first[0]) in known


def inner_calls(words: list[str]) -> Iterator[list[str]]:
    """What follows `vpp-deploy`, also within a container."""
    for index, word in enumerate(words):
        if re.fullmatch(r"vpp-deploy(:[\w.-]+)?", word) and (index == 0 or words[0] == "docker"):
            rest = words[index + 1 :]
            if index == 0 or (rest and rest[0] in COMMANDS):
                yield rest


def check(words: list[str], folder: Path, *, whole: bool) -> None:
    """See that a command is one that there is.

    Args:
        words: of the command.
        folder: of the page that shows it.
        whole: it is shown to be typed as it is; else arguments may be missing.
    """
    check_others(words, folder)
    for call in inner_calls(words):
        check_vpp_deploy(call, whole=whole)


def check_vpp_deploy(words: list[str], *, whole: bool) -> None:
    """Parse a command, given without the program's name."""
    words = words[: min([index for index, word in enumerate(words) if word[0] in "<>"], default=len(words))]
    if not words or words[0] in ("--help", "--version", "COMMAND"):
        return
    name, *rest = words
    assert name in COMMANDS, words
    command = COMMANDS[name]
    if rest in (["--help"], ["-h"]):
        return
    try:
        context = command.make_context(name, [word for word in rest if word != "--debug"])
    except Exception as error:
        if whole or "issing" not in error.format_message():  # "Missing argument", "requires an argument"
            raise AssertionError(f"{' '.join(words)}: {error.format_message()}") from error  # type: ignore[attr-defined]
        return
    values = context.params
    engines = values.get("engine") or []
    for engine in [engines] if isinstance(engines, str) else engines:
        assert engine in ENGINES or engine == "NAME", words
    assert str(values.get("precision") or "float32") in [*PRECISIONS, "TYPE"], words
    if name == "export" and ":" in str(values["model"]):
        assert str(values["model"]).partition(":")[0] in [*FAMILIES, "topnorm", "gist"], words


def check_others(words: list[str], folder: Path) -> None:
    """That modules, scripts, options, targets and extras are there, seen from the root or the page's own folder."""
    name = program(words)
    if name == "make":
        targets = [word for word in words[1:] if "=" not in word]
        assert set(targets) <= MAKE | {"TARGET"}, words
    elif name == "pip" and words[1:2] == ["install"]:
        for extras in re.findall(r"(?:\.|vpp-deploy)\[([a-z0-9,]+)\]", " ".join(words)):
            assert set(extras.split(",")) <= EXTRAS, words
    elif name == "torchrun":
        check_python(words[words.index("-m") :], folder)
    elif name in ("python", "python3"):
        check_python(words[1:], folder)
    elif name == "pip":
        assert words[1] in ("uninstall", "wheel"), words
    else:
        assert name in {*ELSEWHERE, "vpp_infer", "vpp-deploy"}, words


def check_python(words: list[str], folder: Path) -> None:
    if words[0] == "-m" and words[1] in ("venv", "pip", "http.server", "pytest"):
        return
    path = words[1].replace(".", "/") if words[0] == "-m" else words[0].removesuffix(".py")
    file = next(
        (
            one
            for one in (REPOSITORY / f"{path}.py", REPOSITORY / path / "__main__.py", folder / f"{path}.py")
            if one.exists()
        ),
        None,
    )
    assert file is not None, words
    source = "".join(one.read_text(encoding="utf-8") for one in file.parent.glob("*.py"))
    for option in (word.partition("=")[0] for word in words if word.startswith("--")):
        assert f'"{option}"' in source or option.removeprefix("--").replace("-", "_") in source, (words, option)
