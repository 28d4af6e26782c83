"""Which of the tensors in a file are the weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from vpp_deploy.exporters.checkpoint.pytorch import Saved, describe
from vpp_deploy.exporters.checkpoint.rebuild import as_tensor
from vpp_deploy.exporters.checkpoint.records import TensorRecord, UnreadableError, as_mapping

RAW: Final = (
    "state_dict", "model", "model_state", "model_state_dict", "module", "net", "network", "params", "weights",
)  # fmt: skip
"""Keys of the weights that training went on with, in the order of preference."""
_AVERAGED: Final = re.compile(r"(^|[._])(ema|averaged?|swa)([._]|$)")
_TRAINING: Final = re.compile(
    r"optim|sched|scaler|^amp|callbacks|loops|message_hub|^meta$|hyper_?param|rng|^args$|^cfg$|^config$|history|^epoch$"
)
"""Keys of what a training run stores beside the weights."""
_MOST_KEYS: Final = 64
"""Dictionaries that are looked into, at each of the two levels."""

Records = dict[str, TensorRecord]


@dataclass(frozen=True)
class Choice:
    """The weights of a file.

    Attributes:
        tensors: by name.
        note: which were taken, where a user might expect others; None where there is nothing to say.
    """

    tensors: Records
    note: str | None = None


def choose(saved: Saved, wanted: str | None, option: str = "--weights") -> Choice:
    """The tensors that are the weights.

    Args:
        saved: the file.
        wanted: see `CheckpointFile.weights`.
        option: see `CheckpointFile.option`.

    Raises:
        UnreadableError: there are none, not those that are wanted, or several without a familiar name.
    """
    root = as_mapping(saved.content)
    if root is None or _is_model(root):
        raise UnreadableError(f"holds {describe(saved.content)}, not a dictionary of tensors")
    found = _dictionaries(root)
    averaged = _averaged(root, found)
    raw = [key for key in found if key not in averaged]
    if not found:
        raise UnreadableError(_nothing(root, saved))
    chosen = _default(found, raw, option) if wanted is None else _wanted(wanted, found, raw, averaged)
    return Choice(found[chosen], _note(chosen, raw, averaged, option))


def _dictionaries(root: Mapping[str, Any]) -> dict[str, Records]:
    """Dictionaries of tensors by their keys, those with familiar keys first; "" is the file's own dictionary."""
    found: dict[str, Records] = {}
    seen = {id(root)}
    for key, value in _inner(root, seen):
        if records := _records(value):
            found[key] = records
        else:
            nested = {f"{key}.{inner}": _records(below) for inner, below in _inner(value, seen)}
            found.update({name: records for name, records in nested.items() if records})
    top = _records(root)
    familiar = {key: found[key] for name in RAW for key in found if name in (key, key.partition(".")[0])}
    if top and not familiar:
        return {"": top, **found}
    return {**familiar, **found, **({"": top} if top else {})}


def _inner(mapping: Mapping[str, Any], seen: set[int]) -> list[tuple[str, Mapping[str, Any]]]:
    inner: list[tuple[str, Mapping[str, Any]]] = []
    for key, value in mapping.items():
        entries = None if _TRAINING.search(key) else as_mapping(value)
        if entries and id(entries) not in seen and not _is_model(entries):
            seen.add(id(entries))
            inner.append((key, entries))
            if len(inner) == _MOST_KEYS:
                break
    return inner


def _is_model(mapping: Mapping[str, Any]) -> bool:
    return "_parameters" in mapping and "_modules" in mapping


def _records(mapping: Mapping[str, Any]) -> Records:
    tensors = ((name, as_tensor(value)) for name, value in mapping.items())
    return {name: tensor for name, tensor in tensors if tensor is not None}


def _averaged(root: Mapping[str, Any], found: Mapping[str, Records]) -> list[str]:
    averaged = [key for key in found if _AVERAGED.search(key)]
    if averaged == ["ema_state_dict"] and "state_dict" in found and "message_hub" in root:
        return [
            "state_dict"
        ]  # mmengine's EMAHook swaps the two, so that everyone who loads state_dict gets the average
    return averaged


def _default(found: Mapping[str, Records], raw: list[str], option: str) -> str:
    familiar = [key for key in found if key.partition(".")[0] in RAW]
    if familiar or "" not in found:
        candidates = [key for key in familiar if key in raw] or familiar or raw or list(found)
        if len(candidates) > 1 and not familiar and raw:
            raise UnreadableError(
                f"holds several sets of weights: {_list(candidates)}; choose with {option} KEY "
                f"(in Python {option.strip('-').replace('-', '_')}=)"
            )
        return candidates[0]
    # Loose tensors beside a dictionary of more of them are counters.
    others = [key for key in found if len(found[key]) > len(found[""])]
    return next((key for key in others if key in raw), others[0]) if others else ""


def _wanted(wanted: str, found: Mapping[str, Records], raw: list[str], averaged: list[str]) -> str:
    if wanted in found:
        return wanted
    chosen = {"raw": raw, "ema": averaged}.get(wanted, [])
    if not chosen:
        raise UnreadableError(f"has no weights {wanted!r}; it holds {_list(list(found))}")
    return chosen[0]


def _note(chosen: str, raw: list[str], averaged: list[str], option: str) -> str | None:
    if chosen in averaged:
        others = f"; {option} raw takes {_quoted(raw[0])}" if raw else ", the only weights in it"
        return f"takes the averaged (EMA) weights, {_quoted(chosen)}{others}"
    if averaged:
        return f"takes the raw weights, {_quoted(chosen)}; {option} ema takes the averaged ones, {_quoted(averaged[0])}"
    return None


def _nothing(root: Mapping[str, Any], saved: Saved) -> str:
    models = [f"{key} is {described}" for key, described in _models(root)]
    if models:
        return f"holds no tensors by name: {models[0]}"
    keys = list(root)
    shown = ", ".join(key[:100] for key in keys[:5]) + (f" and {len(keys) - 5} more" if len(keys) > 5 else "")
    skipped = f"; skipped unread: {', '.join(saved.foreign[:5])}" if saved.foreign else ""
    return f"holds no tensors (keys: {shown}{skipped})"


def _models(root: Mapping[str, Any]) -> list[tuple[str, str]]:
    described = [(key, describe(value)) for key, value in list(root.items())[:_MOST_KEYS]]
    return [(key, text) for key, text in described if text.startswith("a whole model")]


def _list(keys: list[str]) -> str:
    return ", ".join(map(_quoted, keys[:8])) + (f" and {len(keys) - 8} more" if len(keys) > 8 else "")


def _quoted(key: str) -> str:
    return repr(key) if key else "the file's own dictionary"
