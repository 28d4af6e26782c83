"""What a file is, by its first bytes; its name says nothing."""

from __future__ import annotations

from typing import Final

SAFETENSORS: Final = "safetensors"
ZIP: Final = "zip"
LEGACY: Final = "legacy"
JSON: Final = "json"
HEAD: Final = 1024
"""Bytes that tell."""

_LONGEST_HEADER: Final = 100_000_000
_LEGACY_STARTS: Final = (b"\x80", b"L119547037146038801333356L\n")
_FOREIGN: Final = (
    (
        b"version https://git-lfs.github.com/spec/",
        "a Git-LFS pointer, not the file itself: fetch it with `git lfs pull`",
    ),
    (
        b"version https://hawser.github.com/spec/",
        "a Git-LFS pointer, not the file itself: fetch it with `git lfs pull`",
    ),
    (b"GGUF", "a GGUF file of llama.cpp"),
    (b"\x89HDF", "an HDF5 file of Keras"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x1f\x8b", "packed with gzip: unpack it first"),
    (b"7z\xbc\xaf", "packed with 7-Zip: unpack it first"),
    (b"\x28\xb5\x2f\xfd", "packed with Zstandard: unpack it first"),
    (b"\xfd7zXZ", "packed with xz: unpack it first"),
    (b"BZh", "packed with bzip2: unpack it first"),
    (b"ftrt", "a TensorRT engine"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"%PDF", "a PDF document"),
)
_PAGES: Final = (b"<!doctype", b"<html", b"<?xml", b"<head", b"<svg", b"<!--")


def kind_of(head: bytes, size: int) -> str | None:
    """`SAFETENSORS`, `ZIP`, `LEGACY` or `JSON`; None for anything else.

    Args:
        head: the first `HEAD` bytes, or all of a shorter file.
        size: of the file, in bytes.
    """
    if head.startswith((b"PK\3\4", b"PK\5\6")):
        return ZIP
    if len(head) > 8 and head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") <= _LONGEST_HEADER:
        return SAFETENSORS
    if head.startswith(_LEGACY_STARTS):
        return LEGACY
    return JSON if head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"[") else None


def foreign_kind(head: bytes) -> str | None:
    """What a file that is no checkpoint is, with what to do about it; None if that is not known."""
    if not head:
        return "empty"
    for start, kind in _FOREIGN:
        if head.startswith(start):
            return kind
    if head.lstrip().lower().startswith(_PAGES):
        return "a web page, not the file itself: the download went wrong (a login or a licence to accept?)"
    if head[257:262] == b"ustar":
        if head.startswith((b"sys_info", b"pickle", b"storages", b"tensors")):
            return (
                "of PyTorch before 0.2 (a tar file): load it with a PyTorch before 2.6 and save its state_dict() again"
            )
        return "a tar archive: unpack it first"
    if head[:1] == b"\x08" and head[2:3] == b"\x12" and len(head) > 16:
        return "an ONNX model; give the PyTorch weights that it was made of"
    if (line := head[:100].partition(b"\n")[0].strip()).isascii() and line.decode("ascii").isprintable() and line:
        return f"a text, not the file itself: it begins with {line.decode('ascii')[:60]!r}"
    return None
