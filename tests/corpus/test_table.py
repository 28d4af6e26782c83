from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vpp_deploy.corpus.store import FolderStore
from vpp_deploy.corpus.table import TABLE, check_table, update_table
from vpp_deploy.errors import OutputError


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_table_with_one_wrong_bit_is_refused_or_made_anew(tmp_path: Path, place: float, bit: int) -> None:
    pytest.importorskip("pyarrow")
    store, scratch = FolderStore(tmp_path / "out"), tmp_path / "out" / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    table = tmp_path / "out" / TABLE
    table.unlink(missing_ok=True)
    assert update_table(store, [], "segmentation", scratch)
    assert not update_table(store, [], "segmentation", scratch)
    whole = table.read_bytes()
    damaged = bytearray(whole)
    damaged[int(place * len(whole))] ^= 1 << bit
    table.write_bytes(damaged)
    try:
        check_table(store)
    except OutputError:  # its footer, which says whose it is
        return
    assert update_table(store, [], "segmentation", scratch)
    assert table.read_bytes() == whole
