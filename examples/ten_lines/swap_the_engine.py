"""The same program on PyTorch and on ONNX Runtime: what differs, and by how much."""

import sys

import numpy as np

import vpp_deploy as vd

fast, reference = (vd.load(sys.argv[1], engine=engine) for engine in ("onnxruntime", "torch"))
for ours, theirs in zip(fast.track(sys.argv[2], max_frames=3), reference.track(sys.argv[2], max_frames=3), strict=True):
    same = np.array_equal(ours.instances.identities, theirs.instances.identities)
    print(ours.index, "the same tracks" if same else "other tracks", ours.seconds["engine"], theirs.seconds["engine"])
