"""Masks, boxes and scores of every frame of a video, as arrays; and only those that you want."""

import sys

import vpp_deploy as vd

model = vd.load(sys.argv[1])
for result in model.track(sys.argv[2], max_frames=4):
    sure = result.instances[result.instances.scores > 0.5]
    print(result.index, sure.masks.shape, sure.boxes.tolist(), [one.name for one in sure])
