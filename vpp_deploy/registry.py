"""Names to records (families, tasks, backends, precisions) that are imported when they are first asked for."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from typing import Any, Final, Generic, TypeVar

from vpp_deploy.errors import DependencyError, UsageError, VppDeployError

Record = TypeVar("Record")


def lazy(path: str) -> Callable[..., Any]:
    """A function that is imported when it is first called, so that the record that holds it is cheap to import.

    Args:
        path: `package.module:function`.
    """
    module, _, name = path.partition(":")

    def call(*arguments: Any, **named: Any) -> Any:
        return getattr(importlib.import_module(module), name)(*arguments, **named)

    call.__name__ = name
    call.__qualname__ = path
    return call


class Registry(Mapping[str, Record], Generic[Record]):
    """Records by name, each imported when it is first asked for.

    Args:
        kind: what a record is, for messages, e.g. `family`.
        built_in: where each record of this package is, as `package.module:NAME`.
        record_type: what a record must be an instance of; imported packages are held to it.
        group: entry-point group in which other packages offer records of their own; None for none.
    """

    def __init__(
        self, kind: str, built_in: Mapping[str, str], record_type: type[Record], group: str | None = None
    ) -> None:
        self._kind, self._record_type, self._group = kind, record_type, group
        self._built_in: Final = dict(built_in)
        self._records: dict[str, Record] = {}
        self._entry_points: dict[str, list[metadata.EntryPoint]] | None = None

    def __getitem__(self, name: str) -> Record:
        if name not in self._records:
            self._records[name] = self._load(name)
        return self._records[name]

    def __iter__(self) -> Iterator[str]:
        yield from dict.fromkeys([*self._built_in, *self._outside, *self._records])

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (name in self._records or name in self._built_in or name in self._outside)

    def find(self, name: str, called: str | None = None) -> Record:
        """The record of a name that a user gave.

        Args:
            name: what was given.
            called: what the user knows it by; None for the registry's own word.

        Raises:
            UsageError: there is none of this name.
            DependencyError: the package that offers it does not load, or several packages offer it.
        """
        if name not in self:
            raise UsageError(f"unknown {called or self._kind} {name!r}; use one of {', '.join(self)}")
        return self[name]

    def register(self, name: str, record: Record) -> None:
        """Add a record of this process: what a notebook does instead of an entry point.

        The same name may be given again, to change a record that was added in this way.

        Raises:
            UsageError: the name is one of this package.
        """
        if name in self._built_in:
            raise UsageError(f"{self._kind} {name!r} comes with vpp-deploy; choose another name")
        self._records[name] = self._checked(name, record, "this process")

    def is_built_in(self, name: str) -> bool:
        """Whether a record comes with this package."""
        return name in self._built_in

    def load_all(self) -> tuple[dict[str, Record], dict[str, str]]:
        """Every record that loads, and why the others do not, by name."""
        records: dict[str, Record] = {}
        problems: dict[str, str] = {}
        for name in self:
            try:
                records[name] = self[name]
            except VppDeployError as error:
                problems[name] = str(error)
        return records, problems

    def _load(self, name: str) -> Record:
        if name in self._built_in:
            module, _, attribute = self._built_in[name].partition(":")
            record: Record = getattr(importlib.import_module(module), attribute)
            return record
        entry, *others = self._outside[name]  # a KeyError is what a mapping raises
        source = _source(entry)
        if others:
            packages = ", ".join(map(_source, (entry, *others)))
            raise DependencyError(
                f"{self._kind} {name!r} is offered by several packages ({packages}); uninstall all but one of them"
            )
        try:
            loaded = entry.load()
        except Exception as error:  # somebody else's module: whatever it raises while it is imported
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            raise DependencyError(
                f"{self._kind} {name!r} of the package {source} does not load ({reason}); update or uninstall {source}"
            ) from error
        return self._checked(name, loaded, f"the package {source}")

    def _checked(self, name: str, record: Any, source: str) -> Record:
        if not isinstance(record, self._record_type) or getattr(record, "name", None) != name:
            raise DependencyError(
                f"{self._kind} {name!r} of {source} is {type(record).__name__} named "
                f"{getattr(record, 'name', None)!r}; it must be a {self._record_type.__name__} named {name!r}"
            )
        return record

    @property
    def _outside(self) -> dict[str, list[metadata.EntryPoint]]:
        if self._entry_points is None:
            self._entry_points = {}
            for entry in metadata.entry_points(group=self._group) if self._group else ():
                if entry.name not in self._built_in:
                    self._entry_points.setdefault(entry.name, []).append(entry)
        return self._entry_points


def _source(entry: metadata.EntryPoint) -> str:
    """The package that offers an entry point."""
    return entry.dist.name if entry.dist else entry.value
