"""PaPr (ECCV 2024): off-the-shelf transformers and ConvNets of images and clips, pruned without training."""

from vpp_deploy.families import Family
from vpp_deploy.families.papr.names import PREFIX
from vpp_deploy.families.papr.options import PaprOptions
from vpp_deploy.registry import lazy

FAMILY = Family(
    name="papr",
    title="PaPr",
    prefix=PREFIX,
    task="classification",
    example="papr:deit_small_patch16_224",
    keep="a ratio above 0 and up to 1",
    default_keep="0.5",
    options=PaprOptions,
    models=lazy("vpp_deploy.families.papr.listing:models"),
    listing=lazy("vpp_deploy.families.papr.listing:listing"),
    check=lazy("vpp_deploy.families.papr.options:check"),
    export=lazy("vpp_deploy.families.papr.export:export_request"),
    reference=lazy("vpp_deploy.families.papr.reference:open_reference"),
)
