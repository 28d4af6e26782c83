#include "output_file.hpp"

#include <cerrno>
#include <cstdio>
#include <random>
#include <string>
#include <system_error>

#include "vpp/error.hpp"

namespace vpp {
namespace fs = std::filesystem;

namespace {

/// A hidden, unused name, in the target's folder so that a rename stays on one file system.
std::string temporary_name() {
    std::random_device random;
    return ".vpp-" + std::to_string(random()) + "-" + std::to_string(random()) + ".tmp";
}

}  // namespace

OutputFile::OutputFile(const fs::path& path) : path_(path) {
    const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
    std::error_code ignored;
    if (!fs::is_directory(folder, ignored)) {
        throw OutputError(path.string() + ": " + folder.string() +
                          " is not a folder that exists; create it or choose another place");
    }
    if (fs::is_directory(path, ignored)) {
        throw OutputError(path.string() + ": this is a folder; give the name of a file");
    }
    temporary_ = folder / temporary_name();
    std::FILE* file = std::fopen(temporary_.c_str(), "wx");
    if (!file) {
        const std::error_code error(errno, std::generic_category());
        throw OutputError(path.string() + ": cannot write in " + folder.string() + ": " + error.message() +
                          "; choose another place");
    }
    std::fclose(file);
}

OutputFile::~OutputFile() {
    std::error_code ignored;
    fs::remove(temporary_, ignored);
}

void OutputFile::commit() {
    std::error_code failed;
    fs::rename(temporary_, path_, failed);
    if (failed) {
        throw OutputError(path_.string() + ": cannot be written: " + failed.message() + "; choose another name");
    }
}

void OutputFile::commit_partial() noexcept {
    std::error_code ignored;
    fs::path partial = path_;
    fs::rename(temporary_, partial += ".partial", ignored);
}

}  // namespace vpp
