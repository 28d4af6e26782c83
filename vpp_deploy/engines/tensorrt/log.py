"""From the log of a failed TensorRT build to one line that says what to do."""

from __future__ import annotations

import re
from typing import Final

_MEMORY: Final = "free memory, raise the workspace limit, or export a smaller frame size"

_RULES: Final = [
    (re.compile(pattern), explanation)
    for pattern, explanation in (
        (
            r"ITopKLayer (?P<node>[^:\s]+):.*K exceeds the maximum value allowed \((?P<limit>\d+)\)",
            "TopK node {node!r} selects more than {limit} elements, which TensorRT's TopK cannot: lower the keep ratio "
            "or the frame size, or build with plugins, which can: --plugins library",
        ),
        (
            r"Failed to open file: (?P<file>.+)",
            "the weights file {file!r} is not next to the graph: export the bundle again",
        ),
        (
            r"Network must have at least one output",
            "the file is not an ONNX graph, or has no outputs: export the bundle again",
        ),
        (
            r"name: (?P<node>.*?) and operator: (?P<operator>\w+) .*Plugin not found",
            "operator {operator} (node {node!r}) is neither standard ONNX nor a loaded plugin: lower the vpp operators "
            "to standard ONNX first",
        ),
        (
            r"name: (?P<node>\S+) and operator: (?P<operator>\w+) .*UNSUPPORTED_NODE",
            "operator {operator} (node {node!r}) is not supported: lower it to operators that are",
        ),
        (
            r"\((?:import|check)(?P<operator>\w+)\): UNSUPPORTED_NODE(?:_\w+)?: (?P<reason>.+)",
            "operator {operator} is not supported as it is used here ({reason}): lower it to operators that are",
        ),
        (
            r"Attention operation was not supported by a dedicated kernel",
            "the Attention operator has no kernel for this type and shape: export with opset 20, which decomposes it",
        ),
        (
            r"for Turing \(SM75\): (?P<what>.+?) is not supported",
            "compute capability 7.5 has no kernel for {what}: leave 7.5 out, or export in float16",
        ),
        (
            r"[Cc]ould not find any implementation for node (?P<node>\S+)",
            "no kernel for node {node!r}: most likely too little memory, or a shape that is not supported; " + _MEMORY,
        ),
        (
            r"(?i)out ?of ?memory|insufficient (?:memory|workspace)|\bMemoryError\b|bad_alloc",
            "the builder ran out of memory: " + _MEMORY,
        ),
    )
]

_NO_GPU: Final = re.compile(r"(?i)CUDA initialization failure|no CUDA-capable device|driver version is insufficient")

_NOISE: Final = re.compile(
    r"--- (?:Begin|End) node ---|While parsing node number|ERROR: \w+\.cpp:\d+ In function|cudaError"
)
_SOURCE: Final = re.compile(r"^\[E\] (?:\w+\.cpp:\d+: )?")


def names_missing_gpu(log: str) -> bool:
    """Whether the log says that there is no usable GPU. TensorRT-RTX logs that too, but builds without one."""
    return _NO_GPU.search(log) is not None


def explain(log: str) -> str:
    """The known cause of a failure with its remedy, or else the builder's own last errors. One line."""
    errors = "\n".join(_error_lines(log))
    for pattern, explanation in _RULES:
        if match := pattern.search(errors):
            return explanation.format(**{key: _clip(value) for key, value in match.groupdict().items()})
    return last_words(log) or "it gave no reason"


def last_words(log: str) -> str:
    """The last three distinct error messages of a log in one line, or "" if there are none."""
    lines = _error_lines(log)
    marked = [_SOURCE.sub("", line) for line in lines if line.startswith("[E]")]
    return "; ".join(_clip(line) for line in list(dict.fromkeys(marked or lines))[-3:])


def _error_lines(log: str) -> list[str]:
    """The lines that are neither notes nor warnings (polygraphy's `[I]`, `[W]` and their indented rest) nor noise."""
    lines = []
    in_note = False
    for line in log.splitlines():
        in_note = line.startswith(("[I]", "[W]", "[V]")) or (in_note and line.startswith(" "))
        if line.strip() and not in_note and not _NOISE.search(line):
            lines.append(line)
    return lines


def _clip(text: str, length: int = 300) -> str:
    joined = " ".join(text.split())
    return joined if len(joined) <= length else joined[: length - 1] + "…"
