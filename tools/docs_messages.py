"""Every message of an error that the package raises on purpose, read from its source.

A message is what stands in the call of an exception of `vpp_deploy.errors`. What is filled in there is a word in
capitals here, so that a message on a screen can be looked up: `find` does that.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import product
from pathlib import Path
from typing import Final

from vpp_deploy import errors
from vpp_deploy.errors import ExitCode, VppDeployError

PACKAGE: Final = Path(errors.__file__).parent
ERRORS: Final[dict[str, type[VppDeployError]]] = {
    name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, VppDeployError)
}
ANY: Final = VppDeployError.__name__
"""The error of a message that several kinds of file share: its caller chooses the class."""

_REASONS: Final = {"UnreadableError": ("CheckpointError", "checkpoint \x02file\x03: ")}
"""Errors of the package's own that become another's: which, and what stands before their text then."""
_GAP: Final = re.compile(r"\x02(\w+)\x03")
_ENDING: Final = re.compile(r"(?<=[a-wyz)\x03])\x02\w+\x03")
_WORDS: Final = 3
"""A helper that gives fewer of them fills a gap; one that gives more writes a message."""


@dataclass(frozen=True)
class Message:
    """What an error says.

    Attributes:
        error: name of its class.
        pattern: the text; what is filled in is a name between the characters 2 and 3.
        modules: where it is raised, relative to the package.
        anchor: of its entry in the documentation.
    """

    error: str
    pattern: str
    modules: tuple[str, ...]
    anchor: str

    @property
    def text(self) -> str:
        """For people: what is filled in stands in capitals, and an ending that may be missing is an ellipsis."""
        return _GAP.sub(lambda gap: gap[1].strip("_").upper(), _ENDING.sub("…", self.pattern))

    @property
    def fixed(self) -> str:
        """What is the same in every such message."""
        return _GAP.sub(" ", self.pattern)

    @cached_property
    def expression(self) -> re.Pattern[str]:
        """What matches such a message."""
        parts = _GAP.split(self.pattern)
        return re.compile(".*".join(re.escape(part) for part in parts[::2]), re.DOTALL)

    @property
    def exit_code(self) -> ExitCode | None:
        """Of the command that ends with it; None if that depends on the file that it is about."""
        return None if self.error == ANY else ERRORS[self.error].exit_code


@cache
def messages() -> tuple[Message, ...]:
    """All of them, sorted by their text. Those of one class that read the same are one."""
    places: dict[tuple[str, str], set[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        module = _Module(ast.parse(path.read_text(encoding="utf-8")))
        for error, pattern in module.raised():
            places.setdefault((error, pattern), set()).add(path.relative_to(PACKAGE).as_posix())
    found: list[Message] = []
    taken: set[str] = set()
    for (error, pattern), modules in sorted(places.items(), key=lambda item: (_GAP.sub(" ", item[0][1]), item[0])):
        words = re.findall(r"[a-z0-9]+", _GAP.sub(" ", pattern).lower())
        base = "-".join([error.removesuffix("Error").lower(), *words])[:70].strip("-")
        anchor = next(name for name in [base, *(f"{base}-{n}" for n in range(2, 1000))] if name not in taken)
        taken.add(anchor)
        found.append(Message(error, pattern, tuple(sorted(modules)), anchor))
    return tuple(found)


def find(text: str) -> Message | None:
    """The message that a text is an instance of; of several the one that says most."""
    fitting = [one for one in messages() if one.expression.fullmatch(text)]
    return max(fitting, key=lambda one: len(one.fixed), default=None)


class _Module:
    """The errors of one file."""

    def __init__(self, tree: ast.Module) -> None:
        found = [one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef)]
        self.functions = {one.name: one for one in found}
        self.calls = {id(call): (call, function) for function in found for call in _calls(function)}
        self.constants = {
            target.id: value
            for line in tree.body
            if isinstance(line, ast.Assign | ast.AnnAssign) and isinstance(value := line.value, ast.expr)
            for target in (line.targets if isinstance(line, ast.Assign) else [line.target])
            if isinstance(target, ast.Name)
        }

    def raised(self) -> Iterator[tuple[str, str]]:
        """Class and pattern of each; not of those whose whole text comes from elsewhere."""
        for call, owner in self.calls.values():
            name = _name(call.func)
            if name in _error_types(owner):
                name = ANY
            error, start = _REASONS.get(name, (name, ""))
            if error in ERRORS:
                patterns = self._patterns(call.args[0], owner)
                yield from ((error, start + pattern) for pattern in patterns if _words(pattern))

    def _patterns(self, node: ast.expr, owner: ast.FunctionDef) -> list[str]:
        """What an expression may read; a text that comes from elsewhere is one gap."""
        if isinstance(node, ast.IfExp):
            return [*self._patterns(node.body, owner), *self._patterns(node.orelse, owner)]
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            ends = self._patterns(node.right, owner)
            return [start + end for start in self._patterns(node.left, owner) for end in ends]
        if isinstance(node, ast.Call) and (helper := self.functions.get(_name(node.func))) not in (None, owner):
            results = [one.value for one in ast.walk(helper) if isinstance(one, ast.Return) and one.value is not None]
            return [pattern for result in results for pattern in self._patterns(result, helper)]
        if isinstance(node, ast.JoinedStr):
            return ["".join(parts) for parts in product(*(self._part(part, owner) for part in node.values))]
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return [node.value]
        if isinstance(node, ast.BoolOp):
            return [pattern for value in node.values for pattern in self._patterns(value, owner)]
        return [_gap(node)]

    def _part(self, part: ast.expr, owner: ast.FunctionDef) -> list[str]:
        if isinstance(part, ast.Constant):
            return [str(part.value)]
        value = part.value if isinstance(part, ast.FormattedValue) else part
        constant = self.constants.get(value.id) if isinstance(value, ast.Name) else None
        if isinstance(constant, ast.Constant) and isinstance(constant.value, str):
            return [constant.value]
        told = self._patterns(value, owner) if isinstance(value, ast.Call) else []
        return told if told and all(_words(one) >= _WORDS for one in told) else [_gap(value)]


def _calls(node: ast.AST) -> Iterator[ast.Call]:
    return (one for one in ast.walk(node) if isinstance(one, ast.Call) and one.args)


def _name(node: ast.expr) -> str:
    return str(getattr(node, "id", getattr(node, "attr", "")))


def _words(pattern: str) -> int:
    return len(re.findall(r"[a-z]{2,}", _GAP.sub(" ", pattern)))


def _error_types(function: ast.FunctionDef) -> set[str]:
    """Arguments of a function that are classes of errors."""
    arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    wanted = f"type[{ANY}]"
    return {one.arg for one in arguments if one.annotation is not None and ast.unparse(one.annotation) == wanted}


def _gap(node: ast.expr) -> str:
    """A place that is filled in, named after the last thing that the expression names."""
    while True:
        match node:
            case ast.Call(func=ast.Attribute(attr="join" | "get"), args=[inner, *_]):
                node = inner
            case ast.Call(func=ast.Attribute(attr="split", value=inner)):
                node = inner
            case ast.Call(func=ast.Name(id="len")):
                return "\x02N\x03"
            case ast.Call(args=[inner, *_]) | ast.GeneratorExp(elt=inner) | ast.ListComp(elt=inner):
                node = inner
            case ast.Call(func=inner) | ast.Subscript(value=inner) | ast.Starred(value=inner):
                node = inner
            case ast.BoolOp(values=[inner, *_]) | ast.BinOp(left=inner) | ast.IfExp(body=inner):
                node = inner
            case ast.FormattedValue(value=inner):
                node = inner
            case ast.JoinedStr(values=values):
                inner_values = [one for one in values if isinstance(one, ast.FormattedValue)]
                if not inner_values:
                    return "\x02TEXT\x03"
                node = inner_values[0]
            case ast.Attribute(attr="strerror") | ast.Name(id="error" | "reason" | "why"):
                return "\x02REASON\x03"
            case ast.Attribute(attr=name) | ast.Name(id=name):
                return f"\x02{name}\x03"
            case _:
                return "\x02TEXT\x03"
