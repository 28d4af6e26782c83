"""Whether the engine that a bundle has is the one that would be built: what agrees, what does not, and why."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import ValidationError

from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.engines.engine_files import file_problems
from vpp_deploy.engines.engine_record import EngineRecord, why


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a fingerprint.

    Attributes:
        name: what is compared.
        why: how the stored engine differs; None where it does not.
    """

    name: str
    why: str | None = None

    @property
    def hit(self) -> bool:
        """The stored engine agrees."""
        return self.why is None


def look_up(bundle: Bundle, wanted: EngineRecord) -> tuple[Part, ...]:
    """Compare a bundle's engine with the one that is wanted.

    Args:
        bundle: whose engine.
        wanted: the record that a new engine would get, as far as it is known beforehand.

    Returns:
        The parts; the stored engine can be used if all are hits.
    """
    folder = bundle.engine_folder(wanted.backend)
    try:
        stored = EngineRecord.read(folder)
    except FileNotFoundError:
        return (Part("engine", "there is none yet"),)
    except (OSError, ValidationError) as error:
        return (Part("engine", f"its record cannot be read ({why(error)})"),)
    damaged = [name for name, _ in file_problems(folder, stored.files)]
    none = "its record lists none" if not stored.files else None
    files = Part("engine files", f"missing or altered: {', '.join(damaged)}" if damaged else none)
    return (*_parts(stored, wanted), files)


def _parts(stored: EngineRecord, wanted: EngineRecord) -> Iterator[Part]:
    for name in sorted(wanted.source | stored.source):
        yield _compare(name, stored.source.get(name, "none")[:12], wanted.source.get(name, "none")[:12])
    yield _compare("vpp-deploy", stored.vpp_deploy, wanted.vpp_deploy)
    yield _compare(wanted.backend, stored.backend_version, wanted.backend_version)
    yield _compare("processor", stored.machine, wanted.machine)
    capabilities = [", ".join(record.compute_capabilities) or "default" for record in (stored, wanted)]
    yield _compare("compute capabilities", *capabilities)
    for name in sorted(wanted.options | stored.options):
        yield _compare(name, stored.options.get(name, "not set"), wanted.options.get(name, "not set"))


def _compare(name: str, stored: str, wanted: str) -> Part:
    return Part(name, None if stored == wanted else f"{stored}, now {wanted}")


def option_texts(**options: object) -> dict[str, str]:
    """Options as a record keeps them: those that are set, as JSON where they are not text."""
    return {
        name.replace("_", " "): value if isinstance(value, str) else json.dumps(value)
        for name, value in options.items()
        if value not in (None, False)
    }
