// Everything of vpp_infer that works without TensorRT.

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "arguments.hpp"
#include "check.hpp"
#include "failures.hpp"
#include "infer.hpp"
#include "interrupt.hpp"
#include "tiny_video_model.hpp"
#include "vpp/error.hpp"

namespace {

namespace fs = std::filesystem;
constexpr vpp::Size kSize{2, 3};
constexpr std::size_t kFrameBytes = 18;

/// A folder for one test.
class Folder {
  public:
    Folder() : path_(fs::temp_directory_path() / ("vpp_infer_test_" + std::to_string(getpid()))) {
        fs::create_directories(path_);
    }
    ~Folder() { fs::remove_all(path_); }
    std::string file(const char* name) const { return (path_ / name).string(); }

  private:
    fs::path path_;
};

void fill(const std::string& path, std::size_t bytes) {
    std::ofstream file(path, std::ios::binary);
    for (std::size_t n = 0; n < bytes; ++n) {
        file.put(static_cast<char>(n));
    }
}

std::size_t lines_in(const std::string& path) {
    std::ifstream file(path);
    std::size_t lines = 0;
    for (std::string line; std::getline(file, line);) {
        lines += line.front() == '{' && line.back() == '}' ? 1 : 0;
    }
    return lines;
}

void the_command_line() {
    const vpp::Arguments defaults = vpp::parse_arguments({"small.bundle", "--size", "720x1280"});
    CHECK(defaults.bundle == "small.bundle" && defaults.size == (vpp::Size{720, 1280}));
    CHECK(defaults.frames == "-" && defaults.output == "-" && defaults.cuda_graph && !defaults.max_frames);
    const vpp::Arguments all =
        vpp::parse_arguments({"--size=4x6", "--frames", "a=b.rgb", "a.bundle", "--output=--x", "--no-cuda-graph",
                              "--max-frames", "7", "--plugin-library", "libs", "--tensorrt-library=nv.so"});
    CHECK(all.bundle == "a.bundle" && all.frames == "a=b.rgb" && all.output == "--x" && !all.cuda_graph);
    CHECK(all.max_frames == 7 && all.plugin_library == fs::path("libs") && all.tensorrt_library == "nv.so");
    CHECK(vpp::parse_arguments({"--help", "--nonsense"}).help);
    CHECK(vpp::parse_arguments({"a", "-h"}).help);
}

void command_lines_that_make_no_sense() {
    const std::pair<std::vector<std::string>, const char*> cases[] = {
        {{}, "which BUNDLE?"},
        {{"a"}, "give --size HEIGHTxWIDTH"},
        {{"a", "b", "--size", "4x6"}, "one BUNDLE is needed, got 'b' as well"},
        {{"a", "--size"}, "option --size needs a value"},
        {{"a", "--size", "4"}, "--size '4' is not HEIGHTxWIDTH"},
        {{"a", "--size", "4x"}, "--size '4x' is not"},
        {{"a", "--size", "0x4"}, "--size '0x4' is not"},
        {{"a", "--size", "-4x4"}, "--size '-4x4' is not"},
        {{"a", "--size", "4x100000"}, "--size '4x100000' is not"},
        {{"a", "--size", "4x6", "--max-frames", "0"}, "--max-frames '0' is not a number of frames"},
        {{"a", "--size", "4x6", "--frame", "x"}, "no such option: --frame (see vpp_infer --help)"},
        {{"a", "--size", "4x6", "--no-cuda-graph=1"}, "no such option: --no-cuda-graph"},
        {{"a", "--size", "4x6", "-x"}, "no such option: -x"},
    };
    for (const auto& [words, problem] : cases) {
        CHECK_THROWS(vpp::parse_arguments(words), vpp::UsageError, problem);
    }
    const Folder folder;
    fill(folder.file("a.rgb"), 1);
    CHECK_THROWS(vpp::parse_arguments(
                     {"a", "--size", "4x6", "--frames", folder.file("a.rgb"), "--output", folder.file("a.rgb")}),
                 vpp::UsageError, "would overwrite the frames");
}

void frames_from_a_file() {
    const Folder folder;
    fill(folder.file("a.rgb"), 3 * kFrameBytes);
    vpp::FrameReader reader(folder.file("a.rgb"), kSize);
    for (std::size_t n = 0; n < 3; ++n) {
        const std::uint8_t* pixels = reader.next();
        CHECK(pixels && pixels[0] == n * kFrameBytes && pixels[17] == (n + 1) * kFrameBytes - 1);
    }
    CHECK(!reader.next());
    vpp::FrameReader two(folder.file("a.rgb"), kSize, 2);
    CHECK(two.next() && two.next() && !two.next());
}

void frames_from_a_pipe_that_comes_in_pieces() {
    int ends[2];
    CHECK(pipe(ends) == 0);
    if (fork() == 0) {
        for (char n = 0; n < static_cast<char>(2 * kFrameBytes); n += 4) {
            const char piece[] = {n, static_cast<char>(n + 1), static_cast<char>(n + 2), static_cast<char>(n + 3)};
            if (write(ends[1], piece, 4) != 4) {
                _exit(1);
            }
        }
        _exit(0);
    }
    close(ends[1]);
    vpp::FrameReader reader("/dev/fd/" + std::to_string(ends[0]), kSize);
    close(ends[0]);
    for (std::size_t n = 0; n < 2; ++n) {
        const std::uint8_t* pixels = reader.next();
        CHECK(pixels && pixels[0] == n * kFrameBytes && pixels[17] == (n + 1) * kFrameBytes - 1);
    }
    CHECK(!reader.next());
    wait(nullptr);
}

void frames_that_cannot_be_read() {
    const Folder folder;
    fill(folder.file("empty.rgb"), 0);
    fill(folder.file("cut.rgb"), kFrameBytes + 5);
    CHECK_THROWS(vpp::FrameReader(folder.file("empty.rgb"), kSize).next(), vpp::VideoError, "holds no frames");
    CHECK_THROWS(vpp::FrameReader(folder.file("none.rgb"), kSize), vpp::VideoError, "none.rgb cannot be read: No such");
    CHECK_THROWS(vpp::FrameReader(folder.file("."), kSize).next(), vpp::VideoError, "cannot be read: Is a directory");
    vpp::FrameReader cut(folder.file("cut.rgb"), kSize);
    CHECK(cut.next());
    CHECK_THROWS(cut.next(), vpp::VideoError, "cut.rgb ends within frame 1, after 5 of 18 bytes; is --size 2x3 right");
    vpp::FrameReader one(folder.file("cut.rgb"), kSize, 1);
    CHECK(one.next() && !one.next());
}

/// Run a file of `bytes` bytes through a session whose engine sees nothing.
std::int64_t infer(const Folder& folder, std::size_t bytes) {
    fill(folder.file("a.rgb"), bytes);
    const vpp::Manifest manifest = vpp::test::tiny_video_manifest();
    vpp::Session session(manifest, std::make_unique<vpp::test::BlindStream>(manifest));
    vpp::FrameReader reader(folder.file("a.rgb"), kSize);
    vpp::ResultOutput output(folder.file("a.jsonl"), manifest.class_names);
    return vpp::infer(session, reader, kSize, output);
}

void a_line_for_every_frame() {
    const Folder folder;
    CHECK(infer(folder, 4 * kFrameBytes) == 4);
    CHECK(lines_in(folder.file("a.jsonl")) == 4);
    CHECK(!fs::exists(folder.file("a.jsonl.partial")));
}

void what_is_complete_stays_after_an_error() {
    const Folder folder;
    CHECK_THROWS(infer(folder, 4 * kFrameBytes + 1), vpp::VideoError, "ends within frame 4");
    CHECK(lines_in(folder.file("a.jsonl.partial")) == 4);
    CHECK(!fs::exists(folder.file("a.jsonl")));
}

void standard_output_gets_a_line_at_once_until_it_is_closed() {
    int ends[2];
    CHECK(pipe(ends) == 0);
    const int saved = dup(STDOUT_FILENO);
    dup2(ends[1], STDOUT_FILENO);
    close(ends[1]);
    vpp::ResultOutput output("-", {});
    vpp::FrameResult result;
    result.grid = {1, 1};
    output.write(result);
    char line[400];
    const ssize_t length = read(ends[0], line, sizeof line);
    CHECK(length > 2 && line[0] == '{' && line[length - 2] == '}' && line[length - 1] == '\n');
    close(ends[0]);
    std::signal(SIGPIPE, SIG_IGN);
    CHECK_THROWS(output.write(result), vpp::PipeClosed, "standard output was closed");
    dup2(saved, STDOUT_FILENO);
    close(saved);
}

void every_error_has_a_line_and_the_exit_code_of_the_python_command() {
    const auto failure = [](const auto& error) { return vpp::describe_failure(std::make_exception_ptr(error)); };
    CHECK(failure(vpp::UsageError("a\nb")).line == "error: a b");
    CHECK(failure(vpp::UsageError("")).exit_code == 2);
    CHECK(failure(vpp::DependencyError("")).exit_code == 3);
    CHECK(failure(vpp::DeviceError("")).exit_code == 3);
    CHECK(failure(vpp::EngineError("")).exit_code == 4);
    CHECK(failure(vpp::PluginError("")).exit_code == 5);
    CHECK(failure(vpp::BundleError("")).exit_code == 9);
    CHECK(failure(vpp::VideoError("")).exit_code == 9);
    CHECK(failure(vpp::OutputError("")).exit_code == 9);
    CHECK(failure(std::runtime_error("x")).exit_code == 1);
    CHECK(failure(std::runtime_error("x")).line == "internal error: x");
    CHECK(failure(vpp::PipeClosed()).exit_code == 0);
    CHECK(failure(vpp::PipeClosed()).line.empty());
    CHECK(failure(vpp::Interrupted()).exit_code == 130);
    CHECK(failure(vpp::Interrupted()).line == "interrupted: stopped by Ctrl-C");
}

/// Last: from then on, every read is interrupted.
void ctrl_c_ends_the_work() {
    const Folder folder;
    vpp::catch_interrupts();
    std::raise(SIGINT);
    CHECK_THROWS(infer(folder, 4 * kFrameBytes), vpp::Interrupted, "stopped by Ctrl-C");
    CHECK(!fs::exists(folder.file("a.jsonl")) && !fs::exists(folder.file("a.jsonl.partial")));
}

}  // namespace

int main() {
    the_command_line();
    command_lines_that_make_no_sense();
    frames_from_a_file();
    frames_from_a_pipe_that_comes_in_pieces();
    frames_that_cannot_be_read();
    a_line_for_every_frame();
    what_is_complete_stays_after_an_error();
    standard_output_gets_a_line_at_once_until_it_is_closed();
    every_error_has_a_line_and_the_exit_code_of_the_python_command();
    ctrl_c_ends_the_work();
    return vpp::test::failures();
}
