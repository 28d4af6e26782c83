"""EViT (Liang et al., ICLR 2022): DeiT that drops, or fuses, the tokens that matter little to its class token."""

from vpp_deploy.families import Family
from vpp_deploy.families.evit.options import EViTOptions
from vpp_deploy.registry import lazy

FAMILY = Family(
    name="evit",
    title="EViT",
    prefix="evit:",
    task="classification",
    example="evit:deit_small",
    keep="its keep rate, above 0 and up to 1, or one per pruning point",
    default_keep="0.7",
    options=EViTOptions,
    models=lazy("vpp_deploy.families.evit.options:models"),
    check=lazy("vpp_deploy.families.evit.options:check"),
    export=lazy("vpp_deploy.families.evit.export:export_request"),
    reference=lazy("vpp_deploy.families.evit.export:open_reference"),
)
