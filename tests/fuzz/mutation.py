"""Seeded damage: of bytes, of JSON and of ONNX messages."""

from __future__ import annotations

import copy
import json
import random
import struct
from collections.abc import Sequence
from typing import Any

Message = Any
"""A protobuf message, whose library comes without types."""

EXTREMES = (0, 1, -1, 2, 127, 255, 65535, 2**31 - 1, -(2**31), 2**32, 2**53, 2**62, 2**63 - 1, -(2**63))
NASTY: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1,
    3,
    40_000,
    2**31,
    2**62,
    10**30,
    0.5,
    -0.0,
    1e308,
    1e-300,
    "",
    "x",
    "../../outside",
    "/etc/passwd",
    "a\x00b",
    "\x1b]0;owned\x07\x1b[31m",
    "line\nbreak\u2028",
    "\ud800",
    "é" * 300,
    [],
    [[]],
    {},
    [1, 2, 3],
    ["a"] * 3,
    [40_000, 40_000],
    {"": None},
)


def damaged(data: bytes, generator: random.Random, *, head: int = 1 << 20) -> bytes:
    """Bytes changed, cut out, doubled, exchanged, overwritten with extreme numbers, or cut short.

    Args:
        data: what to damage.
        generator: where chance comes from.
        head: damage only within this many first bytes, where formats keep their structure.
    """
    changed = bytearray(data)
    for _ in range(generator.choice((1, 1, 2, 4, 16))):
        if not changed:
            break
        start = generator.randrange(min(len(changed), head))
        length = generator.choice((1, 2, 4, 8, 64, 500))
        match generator.randrange(8):
            case 0:
                changed[start] = generator.randrange(256)
            case 1:
                changed[start] ^= 1 << generator.randrange(8)
            case 2:
                del changed[start : start + length]
            case 3:
                changed[start:start] = changed[start : start + length]
            case 4:
                size, order = generator.choice((2, 4, 8)), generator.choice("<>")
                number = generator.choice(EXTREMES) % (1 << 8 * size)
                changed[start : start + size] = struct.pack(f"{order}{ {2: 'H', 4: 'I', 8: 'Q'}[size] }", number)
            case 5:
                other = generator.randrange(len(changed))
                changed[start : start + length] = changed[other : other + length]
            case 6:
                changed[start : start + length] = bytes(length)
            case _:
                del changed[generator.randrange(len(changed)) :]
    return bytes(changed)


def damaged_json(value: Any, generator: random.Random, also: Sequence[Any] = ()) -> Any:
    """A copy of a JSON value with one to three places replaced, removed, doubled, exchanged or renamed.

    Args:
        value: what to damage.
        generator: where chance comes from.
        also: values to put in, besides `NASTY`.
    """
    changed = copy.deepcopy(value)
    for _ in range(generator.choice((1, 1, 1, 2, 3))):
        places = [*_places(changed)]
        if not places:
            return generator.choice(NASTY)
        holder, key = generator.choice(places)
        match generator.randrange(8):
            case 0:
                del holder[key]
            case 1:
                other, other_key = generator.choice(places)
                holder[key] = copy.deepcopy(other[other_key])
            case 2 if isinstance(holder, dict):
                holder[str(generator.choice(("", "x", *holder)))] = holder.pop(key)
            case 2 | 3 if isinstance(holder, list):
                holder.insert(key, copy.deepcopy(holder[key]))
            case 4 if isinstance(holder[key], int | float):
                holder[key] = generator.choice((holder[key] + 1, holder[key] * 2, -holder[key], holder[key] * 1000))
            case _:
                holder[key] = copy.deepcopy(generator.choice((*NASTY, *also)))
    return changed


def as_json(value: Any, generator: random.Random) -> bytes:
    """JSON text, now and then with what JSON does not have."""
    text = json.dumps(value)
    match generator.randrange(30):
        case 0:
            text = text.replace("1", "NaN", 1)
        case 1:
            text = text.replace("2", "1e999", 1)
        case 2:
            text = "[" * 100_000 + text
        case 3:
            text = "\ufeff" + text
        case 4:
            text = text.replace("3", "9" * 5000, 1)
    return text.encode(errors="surrogatepass")


def damage_message(message: Message, generator: random.Random) -> None:
    """Change one to three fields of a protobuf message, in place, anywhere in it."""
    for _ in range(generator.choice((1, 1, 2, 3))):
        messages = [*_messages(message)]
        target = generator.choice(messages)
        if fields := target.ListFields():
            field, value = generator.choice(fields)
            _change_field(target, field, value, generator, messages)


def _change_field(target: Message, field: Any, value: Any, generator: random.Random, others: list[Message]) -> None:
    if hasattr(value, "extend"):  # a repeated field
        position = generator.randrange(len(value))
        match generator.randrange(3):
            case 0:
                del value[position]
            case 1:
                value.extend([value[position]])
            case _ if field.message_type is None:
                value[position] = _other(value[position], generator)
            case _:
                alike = [other for other in others if type(other) is type(value[position])]
                value[position].CopyFrom(copy.deepcopy(generator.choice(alike)))
    elif field.message_type is not None:
        target.ClearField(field.name)
    else:
        try:
            setattr(target, field.name, _other(value, generator))
        except ValueError:  # out of the field's range
            target.ClearField(field.name)


def _other(value: Any, generator: random.Random) -> Any:
    if isinstance(value, str):
        return generator.choice(("", "x", value + "x", "ai.onnx", "If", "Loop", "Identity", "../outside", "\x1b[31m"))
    if isinstance(value, bytes):
        return damaged(value, generator) if value else b"\xff" * 8
    if isinstance(value, float):
        return generator.choice((0.0, -1.0, 1e30, float("nan"), float("inf")))
    return generator.choice((value + 1, *(number for number in EXTREMES if abs(number) < 2**31)))


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every holder and key in a JSON value."""
    if isinstance(value, dict):
        return [place for key, item in value.items() for place in ((value, key), *_places(item))]
    if isinstance(value, list):
        return [place for key, item in enumerate(value) for place in ((value, key), *_places(item))]
    return []


def _messages(message: Message) -> list[Message]:
    """A message and all that it holds."""
    found = [message]
    for field, value in message.ListFields():
        if field.message_type is not None:
            for item in value if hasattr(value, "extend") else [value]:
                found += _messages(item)
    return found
