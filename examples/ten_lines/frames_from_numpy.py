"""Frames that are arrays already: of a camera (OpenCV gives BGR), a simulator, a decoder of your own."""

import sys

import numpy as np

import vpp_deploy as vd

model = vd.load(sys.argv[1])
camera = (np.random.default_rng(number).integers(0, 256, (240, 320, 3), np.uint8) for number in range(3))
for result in model.track(camera, bgr=True):
    print(result.index, len(result), f"patches kept {list(result.keep_ratios.values())[-1]:.0%}")
