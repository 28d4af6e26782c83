from __future__ import annotations

from pathlib import Path

import pytest

from vpp_deploy.corpus.worker import _is_full
from vpp_deploy.errors import OutputError
from vpp_deploy.media.json_lines import JsonLinesFile


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full disk is a device of Linux")
def test_a_full_disk_is_everybodys_problem() -> None:
    with pytest.raises(OutputError) as full, JsonLinesFile("/dev/full") as lines:
        lines.append({"x": 1})
    assert _is_full(full.value)


def test_an_output_that_cannot_be_is_not(tmp_path: Path) -> None:
    with pytest.raises(OutputError) as other:
        JsonLinesFile(tmp_path)
    assert not _is_full(other.value)
