"""The words of `--draw`."""

from __future__ import annotations

import pytest

from vpp_deploy.errors import UsageError
from vpp_deploy.tasks.overlay_style import parse_style


def test_none_stands_alone() -> None:
    assert parse_style("none", "on", ("masks",), ("masks",)).parts == frozenset()
    with pytest.raises(UsageError, match="'none,masks': none stands alone"):
        parse_style("none,masks", "on", ("masks",), ("masks",))
