#include "arguments.hpp"

#include <charconv>
#include <functional>
#include <map>
#include <system_error>

#include "vpp/error.hpp"

namespace vpp {

const char* const kHelp =
    R"(usage: vpp_infer BUNDLE --size HxW [options]

Run a bundle's TensorRT engine over raw video frames: one JSON object per frame and line, with the tracked objects.

  BUNDLE                   folder that `vpp-deploy export` wrote, with an engine: vpp-deploy build-engine --engine tensorrt
  --size HxW               height and width of the frames in pixels, such as 720x1280
  --frames FILE            raw RGB24 frames, one after the other; -: standard input  [default: -]
  --output FILE            JSON lines; after an error, complete lines stay as FILE.partial; -: standard output  [default: -]
  --max-frames N           stop after N frames
  --plugin-library PATH    file or folder of the plugin library that the engine was built with
                           [default: look in $VPP_DEPLOY_PLUGIN_PATH]
  --tensorrt-library FILE  TensorRT's libnvinfer  [default: wherever the dynamic linker finds it]
  --no-cuda-graph          do not capture CUDA graphs
  -h, --help               show this page

Example:
  ffmpeg -i street.mp4 -f rawvideo -pix_fmt rgb24 - | vpp_infer small.bundle --size 720x1280 --output tracked.jsonl
)";

namespace {

[[noreturn]] void fail(const std::string& problem) {
    throw UsageError(problem + " (see vpp_infer --help)");
}

/// The whole number from 1 that is all of `text`, with at most `digits` digits.
std::optional<std::int64_t> positive(std::string_view text, std::size_t digits) {
    std::int64_t number = 0;
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, number);
    const bool is_number = error == std::errc() && stop == end && text.size() <= digits;
    return is_number && number > 0 ? std::optional(number) : std::nullopt;
}

Size size_of(const std::string& text) {
    const std::size_t cross = text.find('x');
    const auto height = positive(text.substr(0, cross), 5);
    const auto width = cross == std::string::npos ? std::nullopt : positive(text.substr(cross + 1), 5);
    if (!height || !width) {
        fail("--size '" + text + "' is not HEIGHTxWIDTH in pixels, such as 720x1280");
    }
    return {*height, *width};
}

std::int64_t frame_count(const std::string& text) {
    const auto count = positive(text, 18);
    if (!count) {
        fail("--max-frames '" + text + "' is not a number of frames; give 1 or more");
    }
    return *count;
}

void check_distinct(const Arguments& arguments) {
    std::error_code ignored;
    if (arguments.frames != "-" && arguments.output != "-" &&
        std::filesystem::equivalent(arguments.frames, arguments.output, ignored)) {
        throw UsageError("output " + arguments.output + " would overwrite the frames; give it another name");
    }
}

}  // namespace

Arguments parse_arguments(const std::vector<std::string>& words) {
    Arguments arguments;
    const std::map<std::string, std::function<void(const std::string&)>> options = {
        {"--size", [&](const std::string& value) { arguments.size = size_of(value); }},
        {"--frames", [&](const std::string& value) { arguments.frames = value; }},
        {"--output", [&](const std::string& value) { arguments.output = value; }},
        {"--max-frames", [&](const std::string& value) { arguments.max_frames = frame_count(value); }},
        {"--plugin-library", [&](const std::string& value) { arguments.plugin_library = value; }},
        {"--tensorrt-library", [&](const std::string& value) { arguments.tensorrt_library = value; }},
    };
    const std::map<std::string, bool Arguments::*> flags = {
        {"-h", &Arguments::help}, {"--help", &Arguments::help}, {"--no-cuda-graph", &Arguments::cuda_graph}};

    for (auto word = words.begin(); word != words.end(); ++word) {
        const std::size_t equals = word->rfind("--", 0) == 0 ? word->find('=') : std::string::npos;
        const std::string name = word->substr(0, equals);
        if (const auto flag = flags.find(name); flag != flags.end() && equals == std::string::npos) {
            arguments.*flag->second = flag->second == &Arguments::help;
        } else if (const auto option = options.find(name); option != options.end()) {
            if (equals == std::string::npos && word + 1 == words.end()) {
                fail("option " + name + " needs a value");
            }
            option->second(equals == std::string::npos ? *++word : word->substr(equals + 1));
        } else if (name.size() > 1 && name[0] == '-') {
            fail("no such option: " + name);
        } else if (!arguments.bundle.empty() || word->empty()) {
            fail("one BUNDLE is needed, got '" + *word + "' as well");
        } else {
            arguments.bundle = *word;
        }
        if (arguments.help) {
            return arguments;
        }
    }
    if (arguments.bundle.empty()) {
        fail("which BUNDLE?");
    }
    if (arguments.size == Size{}) {
        fail("raw frames do not tell their size: give --size HEIGHTxWIDTH");
    }
    check_distinct(arguments);
    return arguments;
}

}  // namespace vpp
