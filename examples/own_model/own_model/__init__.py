"""Two families of our own: a pruned classifier, and a pruned model that runs frame by frame with a state.

Records only: whoever lists families imports this, so PyTorch is imported when a model is really made.
"""

from vpp_deploy.families import Family
from vpp_deploy.registry import lazy

TOPNORM = Family(
    name="topnorm",
    title="TopNorm",
    prefix="topnorm:",
    task="classification",
    example="topnorm:tiny",
    keep="a ratio above 0 and below 1",
    default_keep="0.5",
    models=lambda: {"tiny": "width 32, one block before and one after pruning"},
    export=lazy("own_model.topnorm:export"),
    reference=lazy("own_model.topnorm:reference"),
)

GIST = Family(
    name="gist",
    title="Gist",
    prefix="gist:",
    task="tensors",
    example="gist:tiny",
    keep="a ratio above 0 and below 1",
    default_keep="0.5",
    models=lambda: {"tiny": "width 32; keeps the patches that changed most since the last frame"},
    export=lazy("own_model.gist:export"),
    reference=lazy("own_model.gist:reference"),
)
