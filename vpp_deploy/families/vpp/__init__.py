"""VPP (Video Patch Pruning, CVPRW 2026): instances in video, pruned with features of the previous frame."""

from vpp_deploy.families import Family
from vpp_deploy.families.vpp.options import VppOptions
from vpp_deploy.registry import lazy

FAMILY = Family(
    name="vpp",
    title="VPP",
    prefix="",
    task="segmentation",
    example="vpp-small",
    keep="0.55, 0.4, dense, or four ratios, before blocks 1, 3, 6 and 9",
    default_keep="0.55",
    options=VppOptions,
    models=lazy("vpp_deploy.families.vpp.listing:models"),
    listing=lazy("vpp_deploy.families.vpp.listing:listing"),
    check=lazy("vpp_deploy.families.vpp.options:check"),
    export=lazy("vpp_deploy.families.vpp.export:export_request"),
    reference=lazy("vpp_deploy.families.vpp.reference:open_reference"),
    selections=("topk", "threshold"),
)
