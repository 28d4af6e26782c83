"""What a bundle is: model, classes, sizes, how many tokens stay where."""

import sys

import vpp_deploy as vd

manifest = vd.Bundle.open(sys.argv[1]).manifest
print(manifest.model.name, manifest.precision, manifest.frame_size, manifest.class_names)
for point in manifest.pruning_points:
    print(point)
