#include "vpp/results.hpp"

#include "arrays.hpp"
#include "sizes.hpp"
#include "vpp/json_lines.hpp"
#include "vpp/rle.hpp"

namespace vpp::check {
namespace {

FrameResult frame_of(const Json& input, const ArrayFile& arrays) {
    FrameResult frame;
    frame.index = input.at("index");
    frame.time = input.at("time").is_null() ? std::nullopt : std::optional<double>(input.at("time"));
    frame.name = input.at("name");
    frame.original_size = size_of(input.at("size"));
    frame.grid = size_of(input.at("grid"));
    frame.candidates_dropped = input.at("candidates_dropped");
    frame.tracks_not_fed = input.at("tracks_not_fed");
    for (const auto& [part, seconds] : input.at("seconds").items()) {
        frame.seconds[part] = seconds;
    }
    for (const auto& [point, positions] : input.at("kept").items()) {
        frame.kept.push_back({point, arrays.read<std::int32_t>(positions)});
    }
    for (const Json& instance : input.at("instances")) {
        const Json& box = instance.at("box");
        frame.instances.push_back(
            {instance.at("identity"),
             instance.at("label"),
             arrays.read<float>(instance.at("score")).at(0),
             {box.at(0), box.at(1), box.at(2), box.at(3)},
             std::make_shared<Mask>(Mask{frame.original_size, arrays.read<std::uint8_t>(instance.at("mask"))})});
    }
    return frame;
}

}  // namespace

/// Writes the case's frames to its path; without `close`, as if an exception had ended the work.
Json run_results(const Json& input, const ArrayFile& arrays, ArrayFile&) {
    JsonLinesWriter writer(input.at("path").get<std::string>(), input.at("class_names"));
    for (const Json& frame : input.at("frames")) {
        writer.write(frame_of(frame, arrays));
    }
    if (input.at("close")) {
        writer.close();
    }
    return Json::object();
}

}  // namespace vpp::check
