// vpp_infer: raw frames in, JSON lines out, through a bundle's TensorRT engine.

#include <chrono>
#include <csignal>
#include <cstdio>
#include <string>
#include <vector>

#include "arguments.hpp"
#include "failures.hpp"
#include "infer.hpp"
#include "interrupt.hpp"
#include "vpp/bundle.hpp"
#include "vpp/session.hpp"
#include "vpp/tensorrt_engine.hpp"

namespace {

void run(const vpp::Arguments& arguments) {
    const vpp::Bundle bundle = vpp::Bundle::open(arguments.bundle);
    vpp::TensorRtOptions options;
    options.plugin_library = arguments.plugin_library;
    options.tensorrt_library = arguments.tensorrt_library;
    options.cuda_graph = arguments.cuda_graph;
    vpp::TensorRtEngine engine(bundle, options);
    vpp::Session session(engine.manifest(), engine.open_stream());
    vpp::FrameReader reader(arguments.frames, arguments.size, arguments.max_frames);
    vpp::ResultOutput output(arguments.output, engine.manifest().class_names);

    const auto begin = std::chrono::steady_clock::now();
    const std::int64_t frames = vpp::infer(session, reader, arguments.size, output);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    std::fprintf(stderr, "%lld frames in %.1f s, %.1f per second\n", static_cast<long long>(frames), seconds.count(),
                 static_cast<double>(frames) / seconds.count());
}

}  // namespace

int main(int count, char** words) {
    try {
        const vpp::Arguments arguments = vpp::parse_arguments(std::vector<std::string>(words + 1, words + count));
        if (arguments.help) {
            std::fputs(vpp::kHelp, stdout);
            return 0;
        }
        std::signal(SIGPIPE, SIG_IGN);
        vpp::catch_interrupts();
        run(arguments);
        return 0;
    } catch (...) {
        const vpp::Failure failure = vpp::describe_failure(std::current_exception());
        if (!failure.line.empty()) {
            std::fprintf(stderr, "%s\n", failure.line.c_str());
        }
        return failure.exit_code;
    }
}
