"""Stop in the middle of a video, and go on later, in another process or on another machine."""

import sys
from pathlib import Path

import vpp_deploy as vd

model, frames = vd.load(sys.argv[1]), list(vd.read_video(sys.argv[2], vd.load(sys.argv[1]).frame_size, max_frames=4))
stream = model.session()
for frame in frames[:2]:
    stream.run(frame)
Path(sys.argv[3]).write_bytes(stream.snapshot().to_bytes())

later = vd.load(sys.argv[1]).session()
later.restore(Path(sys.argv[3]).read_bytes())
print([later.run(frame).instances.identities.tolist() for frame in frames[2:]])
