"""`vpp-deploy models`: what can be exported."""

from __future__ import annotations

from vpp_deploy.cli.options import JsonFlag
from vpp_deploy.families import FAMILIES, Family, Listing
from vpp_deploy.terminal import console

EXAMPLES = ("vpp-deploy models", "vpp-deploy models --json")


def command(json: JsonFlag = False) -> None:
    """List what `vpp-deploy export` knows: models, what can be kept of them, and what goes with them."""
    families, problems = FAMILIES.load_all()
    listings = [_listing(family) for family in families.values()]
    if json:
        console.print_json({key: value for listing in listings for key, value in listing.data.items()})
    else:
        for number, listing in enumerate(listings):
            if number:
                console.say("")
            for table in listing.tables:
                console.show(table)
    for problem in problems.values():
        console.warn(problem)


def _listing(family: Family) -> Listing:
    if family.listing is not None:
        return family.listing()
    models = family.models()
    table = console.table("model", "", title=f"{family.title} models")
    for name, about in models.items():
        table.add_row(family.prefix + name, about)
    data = {f"{family.name}_models": {family.prefix + name: {"about": about} for name, about in models.items()}}
    return Listing(data, (table, f"--keep: {family.keep} (default {family.default_keep})."))
