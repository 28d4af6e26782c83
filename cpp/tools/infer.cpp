#include "infer.hpp"

namespace vpp {

std::int64_t infer(Session& session, FrameReader& reader, Size size, ResultOutput& output) {
    std::int64_t frames = 0;
    while (const std::uint8_t* pixels = reader.next()) {
        output.write(session.step(pixels, size));
        ++frames;
    }
    output.close();
    return frames;
}

}  // namespace vpp
