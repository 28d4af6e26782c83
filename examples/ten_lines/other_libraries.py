"""Results for COCO's tools, pandas and Roboflow's supervision."""

import sys

import vpp_deploy as vd

model = vd.load(sys.argv[1])
result = list(model.track(sys.argv[2], max_frames=2))[-1]
print(result.to_coco()[:1])
print(result.to_pandas())
print(result.to_supervision())
