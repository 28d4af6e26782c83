"""Reads a pickle without being able to call anything: there is no instruction here that imports or calls.

`pickle.Unpickler` calls what `find_class` gives, sets attributes, and looks up methods on what it made. This
interpreter knows the instructions of all protocols (Python's `pickletools` lists them), but "call this with that" only
makes a record. Bytes, and text longer than any name or key, are skipped unread; keys that are not text are dropped with
their values.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, BinaryIO, Final

from vpp_deploy.exporters.checkpoint.rebuild import rebuild_of, storage_of
from vpp_deploy.exporters.checkpoint.records import (
    OPAQUE,
    Global,
    Object,
    Opaque,
    Storage,
    TensorRecord,
    UnreadableError,
)

MAX_INSTRUCTIONS: Final = 3_000_000
MAX_TEXT: Final = 64 << 20
_LONGEST_TEXT: Final = 4096
_LONGEST_LINE: Final = 1 << 16
_LONGEST_NUMBER: Final = 255
_PIECE: Final = 1 << 20
_LATEST_PROTOCOL: Final = 5
_PYTHON_2: Final = {"__builtin__": "builtins", "copy_reg": "copyreg"}
_RECONSTRUCTORS: Final = {("copyreg", "_reconstructor"), ("copyreg", "__newobj__"), ("copyreg", "__newobj_ex__")}


class Interpreter:
    """A stack machine that runs one pickle.

    Args:
        file: stands where the pickle begins.
        storages: filled with the storages that it refers to, by their keys.

    Attributes:
        foreign: what the pickle would have imported, by its names, in the order of appearance; a hundred at most.
    """

    def __init__(self, file: BinaryIO, storages: dict[str, Storage] | None = None) -> None:
        self.foreign: dict[str, None] = {}
        self._file = file
        self._storages = {} if storages is None else storages
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self._globals: dict[tuple[str, str], Global] = {}
        self._text_left = MAX_TEXT

    def run(self) -> Any:
        """The content of the pickle, as records; the file is left behind its end.

        Raises:
            UnreadableError: it is damaged, cut short, too long, or refers to things that no checkpoint has.
        """
        read, steps = self._file.read, {code: step.__get__(self) for code, step in _STEPS.items()}
        for _ in range(MAX_INSTRUCTIONS):
            code = read(1)
            if code == b".":
                return self._pop()
            step = steps.get(code)
            if step is None:
                raise UnreadableError(
                    f"has the unknown pickle instruction 0x{code.hex()}" if code else "ends in its pickle"
                )
            step()
        raise UnreadableError(f"has a pickle of more than {MAX_INSTRUCTIONS:,} instructions")

    # Reading

    def _read(self, count: int) -> bytes:
        data = self._file.read(count)
        if len(data) != count:
            raise UnreadableError("ends in its pickle")
        return data

    def _skip(self, count: int) -> None:
        while count > 0:
            count -= len(self._read(min(count, _PIECE)))

    def _number(self, layout: struct.Struct) -> Any:
        return layout.unpack(self._read(layout.size))[0]

    def _line(self) -> bytes:
        line = self._file.readline(_LONGEST_LINE)
        if not line.endswith(b"\n"):
            raise UnreadableError("has a line in its pickle that is too long or has no end")
        return line[:-1]

    def _spend(self, count: int) -> None:
        self._text_left -= count
        if self._text_left < 0:
            raise UnreadableError(f"has a pickle with more than {MAX_TEXT >> 20} MB of text")

    # The stack

    def _pop(self) -> Any:
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            raise UnreadableError("has a damaged pickle (nothing on its stack)")
        return self._stack.pop()

    def _top(self) -> Any:
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            raise UnreadableError("has a damaged pickle (nothing on its stack)")
        return self._stack[-1]

    def _pop_mark(self) -> list[Any]:
        if not self._marks:
            raise UnreadableError("has a damaged pickle (no mark on its stack)")
        start = self._marks.pop()
        values = self._stack[start:]
        del self._stack[start:]
        return values

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    # Instructions

    def _protocol(self) -> None:
        protocol = self._read(1)[0]
        if protocol > _LATEST_PROTOCOL:
            raise UnreadableError(f"has a pickle of the unknown protocol {protocol}")

    def _frame(self) -> None:
        self._read(8)

    def _mark(self) -> None:
        self._marks.append(len(self._stack))

    def _drop(self) -> None:
        if self._marks and self._marks[-1] == len(self._stack):
            self._marks.pop()
        else:
            self._pop()

    def _discard(self) -> None:
        self._pop_mark()

    def _duplicate(self) -> None:
        self._push(self._top())

    def _int_line(self) -> None:
        line = self._line()
        if line in (b"00", b"01"):
            self._push(line == b"01")
        else:
            self._push(_decimal(line))

    def _long_line(self) -> None:
        self._push(_decimal(self._line().removesuffix(b"L")))

    def _float_line(self) -> None:
        try:
            self._push(float(self._line()))
        except ValueError:
            raise UnreadableError("has a damaged number in its pickle") from None

    def _long1(self) -> None:
        self._push(int.from_bytes(self._read(self._read(1)[0]), "little", signed=True))

    def _long4(self) -> None:
        count = self._number(_I32)
        if count < 0:
            raise UnreadableError("has a damaged number in its pickle")
        if count <= _LONGEST_NUMBER:
            self._push(int.from_bytes(self._read(count), "little", signed=True))
        else:
            self._skip(count)
            self._push(OPAQUE)

    def _string_line(self) -> None:
        line = self._line()
        self._spend(len(line))
        self._push(line[1:-1].decode("utf-8", "backslashreplace"))

    def _unicode_line(self) -> None:
        line = self._line()
        self._spend(len(line))
        try:
            self._push(line.decode("raw-unicode-escape"))
        except UnicodeDecodeError:
            raise UnreadableError("has damaged text in its pickle") from None

    def _text(self, layout: struct.Struct, errors: str) -> None:
        count = self._number(layout)
        if not 0 <= count <= _LONGEST_TEXT:
            if count < 0:
                raise UnreadableError("has damaged text in its pickle")
            self._skip(count)
            self._push(OPAQUE)
            return
        self._spend(count)
        try:
            self._push(self._read(count).decode("utf-8", errors))
        except UnicodeDecodeError:
            raise UnreadableError("has damaged text in its pickle") from None

    def _bytes(self, layout: struct.Struct) -> None:
        self._skip(self._number(layout))
        self._push(OPAQUE)

    def _tuple(self, count: int) -> None:
        values = [self._pop() for _ in range(count)]
        self._push(tuple(reversed(values)))

    def _dict(self) -> None:
        made: dict[str, Any] = {}
        _fill(made, self._pop_mark())
        self._push(made)

    def _append(self) -> None:
        value, target = self._pop(), self._top()
        if isinstance(target, list):
            target.append(value)

    def _appends(self) -> None:
        values, target = self._pop_mark(), self._top()
        if isinstance(target, list):
            target.extend(values)

    def _add_items(self) -> None:
        self._pop_mark()
        self._top()

    def _set_item(self) -> None:
        value, key, target = self._pop(), self._pop(), self._top()
        _fill(target, [key, value])

    def _set_items(self) -> None:
        values, target = self._pop_mark(), self._top()
        _fill(target, values)

    def _frozen_set(self) -> None:
        self._pop_mark()
        self._push(OPAQUE)

    def _put(self, index: Any) -> None:
        self._memo[index] = self._top()

    def _get(self, index: Any) -> None:
        if index not in self._memo:
            raise UnreadableError("has a damaged pickle (it refers to what it does not have)")
        self._push(self._memo[index])

    def _memoize(self) -> None:
        self._put(len(self._memo))

    def _global_line(self) -> None:
        self._push(self._global(*self._names()))

    def _stack_global(self) -> None:
        name, module = self._pop(), self._pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise UnreadableError("has a damaged pickle (a name that is not text)")
        self._push(self._global(module, name))

    def _names(self) -> tuple[str, str]:
        try:
            module, name = self._line().decode("utf-8"), self._line().decode("utf-8")
        except UnicodeDecodeError:
            raise UnreadableError("has damaged text in its pickle") from None
        self._spend(len(module) + len(name))
        return module, name

    def _global(self, module: str, name: str) -> Global:
        module = _PYTHON_2.get(module, module)
        known = self._globals.get((module, name))
        if known is None:
            known = self._globals[module, name] = Global(module, name)
            if len(self.foreign) < 100 and not _is_inert(known):
                self.foreign[f"{module[:100]}.{name[:100]}"] = None
        return known

    def _reduce(self) -> None:
        arguments, function = self._pop(), self._pop()
        self._push(_called(function, arguments))

    def _new(self) -> None:
        arguments, kind = self._pop(), self._pop()
        self._push(_called(kind, arguments))

    def _new_with_keywords(self) -> None:
        self._pop()
        self._new()

    def _instance(self) -> None:
        kind = self._global(*self._names())
        self._push(_called(kind, tuple(self._pop_mark())))

    def _object(self) -> None:
        values = self._pop_mark()
        if not values:
            raise UnreadableError("has a damaged pickle (nothing on its stack)")
        self._push(_called(values[0], tuple(values[1:])))

    def _build(self) -> None:
        state, target = self._pop(), self._top()
        if isinstance(target, Object):
            is_pair = isinstance(state, tuple) and len(state) == 2 and isinstance(state[1], dict)
            target.state = state[0] if is_pair else state

    def _persistent(self) -> None:
        storage = storage_of(self._pop())
        if isinstance(storage, Storage):
            self._storages.setdefault(storage.key, storage)
        self._push(storage)

    def _refuse(self) -> None:
        raise UnreadableError("has a pickle that refers to things outside itself, which no file of PyTorch does")


def _called(function: Any, arguments: Any) -> Any:
    """The record of a call. Whatever function it is, it is not called."""
    if not isinstance(function, (Global, Object, Opaque)):
        raise UnreadableError("has a damaged pickle (it calls what is no function)")
    if isinstance(function, Global) and isinstance(arguments, tuple):
        if (function.module, function.name) in _RECONSTRUCTORS and arguments:
            if function.name == "_reconstructor" and len(arguments) == 3:
                return Object(arguments[0], (arguments[2],))
            return Object(arguments[0])
        rebuild = rebuild_of(function)
        if rebuild is not None:
            try:
                return rebuild(*arguments)
            except TypeError:
                raise UnreadableError(f"has a tensor with wrong parts for {function.name}") from None
    return Object(function, arguments)


def _fill(target: Any, values: list[Any]) -> None:
    if len(values) % 2:
        raise UnreadableError("has a damaged pickle (a key without a value)")
    if isinstance(target, Object):
        if target.items is None:
            target.items = {}
        target = target.items
    if isinstance(target, dict):
        for key, value in zip(values[::2], values[1::2], strict=True):
            if isinstance(key, str):
                target[key] = value
    elif not isinstance(target, (Opaque, TensorRecord)):
        raise UnreadableError("has a damaged pickle (entries for what is no dictionary)")


def _decimal(text: bytes) -> Any:
    if len(text) > 2 * _LONGEST_NUMBER:
        return OPAQUE
    try:
        return int(text)
    except ValueError:
        raise UnreadableError("has a damaged number in its pickle") from None


def _is_inert(name: Global) -> bool:
    return name.module.partition(".")[0] in ("torch", "collections") or rebuild_of(name) is not None


_U8, _U16, _U32, _U64 = (struct.Struct(layout) for layout in ("<B", "<H", "<I", "<Q"))
_I32, _F64 = struct.Struct("<i"), struct.Struct(">d")
_STEPS: Final[dict[bytes, Callable[[Interpreter], None]]] = {
    b"\x80": Interpreter._protocol,
    b"\x95": Interpreter._frame,
    b"(": Interpreter._mark,
    b"0": Interpreter._drop,
    b"1": Interpreter._discard,
    b"2": Interpreter._duplicate,
    b"N": lambda self: self._push(None),
    b"\x88": lambda self: self._push(True),
    b"\x89": lambda self: self._push(False),
    b"I": Interpreter._int_line,
    b"L": Interpreter._long_line,
    b"F": Interpreter._float_line,
    b"J": lambda self: self._push(self._number(_I32)),
    b"K": lambda self: self._push(self._number(_U8)),
    b"M": lambda self: self._push(self._number(_U16)),
    b"G": lambda self: self._push(self._number(_F64)),
    b"\x8a": Interpreter._long1,
    b"\x8b": Interpreter._long4,
    b"S": Interpreter._string_line,
    b"T": lambda self: self._text(_I32, "backslashreplace"),
    b"U": lambda self: self._text(_U8, "backslashreplace"),
    b"V": Interpreter._unicode_line,
    b"\x8c": lambda self: self._text(_U8, "surrogatepass"),
    b"X": lambda self: self._text(_U32, "surrogatepass"),
    b"\x8d": lambda self: self._text(_U64, "surrogatepass"),
    b"B": lambda self: self._bytes(_U32),
    b"C": lambda self: self._bytes(_U8),
    b"\x8e": lambda self: self._bytes(_U64),
    b"\x96": lambda self: self._bytes(_U64),
    b")": lambda self: self._push(()),
    b"\x85": lambda self: self._tuple(1),
    b"\x86": lambda self: self._tuple(2),
    b"\x87": lambda self: self._tuple(3),
    b"t": lambda self: self._push(tuple(self._pop_mark())),
    b"]": lambda self: self._push([]),
    b"l": lambda self: self._push(self._pop_mark()),
    b"a": Interpreter._append,
    b"e": Interpreter._appends,
    b"}": lambda self: self._push({}),
    b"d": Interpreter._dict,
    b"s": Interpreter._set_item,
    b"u": Interpreter._set_items,
    b"\x8f": lambda self: self._push(OPAQUE),
    b"\x90": Interpreter._add_items,
    b"\x91": Interpreter._frozen_set,
    b"p": lambda self: self._put(_decimal(self._line())),
    b"q": lambda self: self._put(self._number(_U8)),
    b"r": lambda self: self._put(self._number(_U32)),
    b"\x94": Interpreter._memoize,
    b"g": lambda self: self._get(_decimal(self._line())),
    b"h": lambda self: self._get(self._number(_U8)),
    b"j": lambda self: self._get(self._number(_U32)),
    b"c": Interpreter._global_line,
    b"\x93": Interpreter._stack_global,
    b"R": Interpreter._reduce,
    b"\x81": Interpreter._new,
    b"\x92": Interpreter._new_with_keywords,
    b"i": Interpreter._instance,
    b"o": Interpreter._object,
    b"b": Interpreter._build,
    b"Q": Interpreter._persistent,
    **dict.fromkeys((b"P", b"\x82", b"\x83", b"\x84", b"\x97", b"\x98"), Interpreter._refuse),
}
