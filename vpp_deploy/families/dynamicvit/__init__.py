"""DynamicViT (Rao et al., NeurIPS 2021): DeiT whose predictors choose the patches that stay."""

from vpp_deploy.families import Family
from vpp_deploy.families.dynamicvit.options import DynamicViTOptions
from vpp_deploy.registry import lazy

FAMILY = Family(
    name="dynamicvit",
    title="DynamicViT",
    prefix="dynamicvit:",
    task="classification",
    example="dynamicvit:deit_small",
    keep="its base ratio ρ, above 0 and up to 1 (ρ, ρ², ρ³ are kept), or three ratios",
    default_keep="0.7",
    options=DynamicViTOptions,
    models=lazy("vpp_deploy.families.dynamicvit.options:models"),
    check=lazy("vpp_deploy.families.dynamicvit.options:check"),
    export=lazy("vpp_deploy.families.dynamicvit.export:export_request"),
    reference=lazy("vpp_deploy.families.dynamicvit.export:open_reference"),
)
