"""The reference of `manifest.json`, from its JSON schema."""

from __future__ import annotations

import json
import re
from typing import Any

from vpp_deploy.bundle.json_schema import SCHEMA_FILE


def page() -> str:
    """The page, in Markdown: a section for each kind of object."""
    definitions = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))["$defs"]
    kinds = [name for name in definitions if name.endswith("Manifest")]
    others = [name for name in definitions if name not in kinds]
    lines = [
        "# manifest.json, field by field",
        "",
        "Made from [manifest.schema.json](../manifest.schema.json). What the fields mean together, and what a schema "
        "cannot say, is in [A bundle](../bundle.md). Fields that are not listed are refused.",
        "",
    ]
    for name in [*kinds, *others]:
        lines += _section(name, definitions[name])
    return "\n".join(lines) + "\n"


def _section(name: str, definition: dict[str, Any]) -> list[str]:
    summary, _, attributes = definition.get("description", "").partition("Attributes:")
    meanings = dict(re.findall(r"^    (\w+): (.*(?:\n     .*)*)", attributes, re.MULTILINE))
    required = definition.get("required", ())
    lines = [f"## {_title(name)}", "", *summary.strip().splitlines(), "", "| field | type | |", "| --- | --- | --- |"]
    for field, content in definition.get("properties", {}).items():
        meaning = " ".join(meanings.get(field, "").split()).replace("|", "\\|")
        optional = "" if field in required else f"optional, else `{json.dumps(content['default'])}`"
        note = "; ".join(filter(None, [meaning.rstrip("."), optional]))
        lines.append(f"| `{field}` | {_type(content)} | {note} |")
    return [*lines, ""]


def _title(name: str) -> str:
    """Of two classes with one name the schema tells the modules, too."""
    if "__" not in name:
        return name
    *_, module, own = name.split("__")
    return f"{own} ({module.removesuffix('_manifest')})"


def _type(content: dict[str, Any]) -> str:
    if "$ref" in content:
        title = _title(content["$ref"].rpartition("/")[2])
        return f"[{title}](#{re.sub(r'[^a-z0-9 ]', '', title.lower()).replace(' ', '-')})"
    if "anyOf" in content:
        return " or ".join(_type(one) for one in content["anyOf"])
    if "const" in content or "enum" in content:
        return ", ".join(f"`{json.dumps(one)}`" for one in content.get("enum", [content.get("const")]))
    if content.get("type") == "array":
        parts = content.get("prefixItems")
        if parts:
            return f"[{', '.join(_type(one) for one in parts)}]"
        return f"list of {_type(content['items'])}" if "items" in content else "list"
    if content.get("type") == "object" and isinstance(content.get("additionalProperties"), dict):
        return f"object of {_type(content['additionalProperties'])}"
    return str(content.get("type", "any"))
