"""All results as one Parquet file: a row for each instance, or for each label of a classifier or its features."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from vpp_deploy.bundle.hashing import sha256_of_bytes, sha256_of_file, sha256_of_open_file
from vpp_deploy.corpus.items import Item
from vpp_deploy.corpus.lines import read_lines
from vpp_deploy.corpus.locations import failing_as
from vpp_deploy.corpus.markers import FOLDER, Marker
from vpp_deploy.corpus.store import Store
from vpp_deploy.errors import DependencyError, OutputError
from vpp_deploy.files.limits import MOST_BYTES_OF_JSON

TABLE: Final = "results.parquet"
_MADE_OF: Final = b"vpp_deploy.markers"
"""Key in the file's metadata: a hash of the markers of all results in it."""
_RECORD: Final = f"{FOLDER}/table.json"
"""Says which table is there: what it was made of, and the hash of all of it."""
_ROWS_AT_ONCE: Final = 1 << 16

Row = dict[str, Any]


def check_pyarrow() -> None:
    """See that there is what writes Parquet.

    Raises:
        DependencyError: it is not installed.
    """
    try:
        import pyarrow.parquet  # noqa: F401
    except ModuleNotFoundError as error:
        raise DependencyError(
            "pyarrow, which writes the Parquet table, is not installed; install it with: pip install "
            "vpp-deploy[batch], or give --no-parquet"
        ) from error


def check_table(store: Store) -> None:
    """See that a table here may be replaced: that there is none, an empty one, or one that is ours.

    Raises:
        OutputError: it is somebody else's, or cannot be read.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        file = store.open(TABLE)
    except OutputError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return
        raise
    with file, failing_as(OutputError, f"{store}/{TABLE}: cannot be read"):
        if not file.read(1):
            return
        file.seek(0)
        try:
            metadata = parquet.read_schema(file).metadata or {}
        except (OSError, ValueError, pa.ArrowException):
            metadata = {}
    if _MADE_OF not in metadata:
        raise OutputError(
            f"{store}/{TABLE}: `vpp-deploy batch` did not write this, or it is damaged; move it, give another -o, or "
            "--no-parquet"
        )


def update_table(store: Store, done: Sequence[tuple[Item, Marker]], task: str, scratch: Path) -> bool:
    """Write the table of some results, unless the store has the very one.

    Args:
        store: has the results, and gets the table.
        done: items whose results are wanted, in order, and their markers.
        task: of the bundle.
        scratch: folder for what is not ready.

    Returns:
        Whether it was written.

    Raises:
        OutputError: a result cannot be read, or the table cannot be written.
    """
    import pyarrow as pa
    from pyarrow import parquet

    names = "\n".join(marker.name for _, marker in done)
    mark = sha256_of_bytes(names.encode())
    if _is_made_of(store, mark):
        return False
    rows_of, columns = _TASKS[task]
    vector = pa.list_(pa.float32())
    fields = [(name, vector if kind == _VECTOR else pa.type_for_alias(kind)) for name, kind in columns.items()]
    schema = pa.schema(fields, metadata={_MADE_OF: mark.encode()})
    path = scratch / TABLE
    with (
        failing_as(OutputError, f"{store}/{TABLE}: cannot be written"),
        parquet.ParquetWriter(path, schema, compression="zstd") as writer,
    ):
        waiting: list[Row] = []
        for item, marker in done:
            name = item.name.encode(errors="backslashreplace").decode()  # a file's name need not be text
            for line in read_lines(store, item, marker):
                waiting += ({"video": name, **row} for row in rows_of(line))
                if len(waiting) >= _ROWS_AT_ONCE:
                    writer.write_table(pa.Table.from_pylist(waiting, schema))
                    waiting.clear()
        writer.write_table(pa.Table.from_pylist(waiting, schema))
    record = json.dumps(_record(mark, sha256_of_file(path))).encode()
    store.take(path, TABLE)
    store.write(_RECORD, record)
    return True


def _is_made_of(store: Store, mark: str) -> bool:
    """Whether the table is the one that was made of these results, to the last byte."""
    try:
        with store.open(_RECORD) as file:
            record = json.loads(file.read(MOST_BYTES_OF_JSON))
        with store.open(TABLE) as file:
            return bool(record == _record(mark, sha256_of_open_file(file)))
    except (OutputError, OSError, ValueError, RecursionError):  # there is none, or it is damaged
        return False


def _record(mark: str, sha256: str) -> dict[str, str]:
    return {"made_of": mark, "sha256": sha256}


def _instances(line: Row) -> Iterator[Row]:
    common = {"frame": line["index"], "time": line["time"], "name": line.get("name")}
    height, width = line["size"]
    for instance in line["instances"]:
        box = dict(zip(("x1", "y1", "x2", "y2"), instance["box"], strict=True))
        own = {key: instance[key] for key in ("identity", "label", "class", "score")}
        counts = instance["segmentation"]["counts"]
        yield {**common, "height": height, "width": width, **own, **box, "counts": counts}


def _labels(line: Row) -> Iterator[Row]:
    indices = line["indices"]
    common = {"frame": indices[0], "last_frame": indices[-1], "time": line["time"], "name": line.get("name")}
    height, width = line["size"]
    if "features" in line:  # of a model without classes
        yield {**common, "height": height, "width": width, "features": line["features"]}
    for rank, label in enumerate(line.get("labels", ())):
        yield {**common, "height": height, "width": width, "rank": rank, **label}


_VECTOR: Final = "list of float32"
_PLACE: Final = {"video": "string", "frame": "int32", "time": "float64", "name": "string"}
_COMMON: Final = {
    **_PLACE,
    "height": "int32",
    "width": "int32",
    "label": "int32",
    "class": "string",
    "score": "float64",
}
_BOX: Final = {"x1": "float32", "y1": "float32", "x2": "float32", "y2": "float32"}
_TASKS: Final[dict[str, tuple[Callable[[Row], Iterator[Row]], dict[str, str]]]] = {
    "segmentation": (_instances, {**_COMMON, "identity": "int64", **_BOX, "counts": "string"}),
    "classification": (_labels, {**_COMMON, "last_frame": "int32", "rank": "int32", "features": _VECTOR}),
}
"""What the rows of a task are, and the types of their columns."""
