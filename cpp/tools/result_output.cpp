#include "result_output.hpp"

#include <cerrno>
#include <cstdio>

#include "vpp/error.hpp"

namespace vpp {

ResultOutput::ResultOutput(const std::string& path, std::vector<std::string> class_names)
    : class_names_(std::move(class_names)) {
    if (path != "-") {
        file_.emplace(path, class_names_);
    }
}

void ResultOutput::write(const FrameResult& result) {
    if (file_) {
        file_->write(result);
        return;
    }
    const std::string line = json_line(result, class_names_) + "\n";
    if (std::fwrite(line.data(), 1, line.size(), stdout) != line.size() || std::fflush(stdout) != 0) {
        if (errno == EPIPE) {
            throw PipeClosed();
        }
        throw OutputError("standard output: writing failed; is the disk full?");
    }
}

void ResultOutput::close() {
    if (file_) {
        file_->close();
    }
}

}  // namespace vpp
