"""Draw results yourself, and write a video that keeps the times of the source."""

import sys

import numpy as np

import vpp_deploy as vd

model = vd.load(sys.argv[1])
reader = vd.read_video(sys.argv[2], model.frame_size, max_frames=4)
stream = model.session()
with vd.VideoWriter(sys.argv[3], reader.original_size, reader.frame_rate, reader.time_base) as writer:
    for frame in reader:
        picture = np.array(frame.original)
        for one in stream.run(frame):
            picture[one.mask] = picture[one.mask] // 2 + np.array([0, 127, 0], np.uint8)
        writer.write(picture, frame.time)
print(sys.argv[3])
