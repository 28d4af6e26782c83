"""All results as one Parquet file: a row for each instance, or for each label of a classifier or its features."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from vpp_deploy.bundle.hashing import sha256_of_bytes
from vpp_deploy.corpus.items import Item
from vpp_deploy.corpus.lines import read_lines
from vpp_deploy.corpus.locations import failing_as
from vpp_deploy.corpus.markers import Marker
from vpp_deploy.corpus.store import Store
from vpp_deploy.errors import DependencyError, OutputError

TABLE: Final = "results.parquet"
_MADE_OF: Final = b"vpp_deploy.markers"
"""Key in the file's metadata: a hash of the markers of all results in it."""
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
    if _mark_of(store) == mark:
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
    store.take(path, TABLE)
    return True


def _mark_of(store: Store) -> str | None:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with store.open(TABLE) as file:
            metadata = parquet.read_schema(file).metadata or {}
    except (OutputError, OSError, pa.ArrowException):  # there is none yet, or another one
        return None
    return str(metadata.get(_MADE_OF, b"").decode())


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
