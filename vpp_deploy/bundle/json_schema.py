"""The JSON schema of manifests, for whoever reads them without this package.

`python -m vpp_deploy.bundle.json_schema` writes it to `docs/manifest.schema.json`, anew after a change of the manifest.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from pydantic.json_schema import models_json_schema

from vpp_deploy.bundle.schema import MANIFESTS

SCHEMA_FILE: Final = Path(__file__).parents[2] / "docs" / "manifest.schema.json"
"""Where it is in a checkout of the repository."""


def json_schema() -> dict[str, Any]:
    """The JSON schema of every manifest that this version writes: one kind for each task."""
    references, definitions = models_json_schema([(kind, "validation") for kind in MANIFESTS.values()])
    kinds = [
        {**references[kind, "validation"], "properties": {"model": {"properties": {"task": {"const": task}}}}}
        for task, kind in MANIFESTS.items()
    ]
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "manifest.json", "oneOf": kinds}
    return head | definitions


def main() -> None:
    """Write `docs/manifest.schema.json`."""
    SCHEMA_FILE.write_text(json.dumps(json_schema(), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
