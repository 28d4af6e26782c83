"""What users' programs and scripts lean on changes on purpose only."""

from __future__ import annotations

import json

from tools.interface import FILE, interface


def test_the_interface_is_what_was_written_down() -> None:
    """If it fails: tools/interface.py says what which change means, and writes the file anew."""
    assert json.loads(json.dumps(interface())) == json.loads(FILE.read_text(encoding="utf-8"))
