#pragma once

#include <filesystem>

namespace vpp {

/// A temporary file in the target's folder, which takes the target's name on `commit` and is removed otherwise.
class OutputFile {
  public:
    /// Makes the temporary file, so that an output that cannot be written fails before any work is done.
    ///
    /// @throws OutputError the target is a folder, or its folder does not exist or cannot be written to.
    explicit OutputFile(const std::filesystem::path& path);
    OutputFile(const OutputFile&) = delete;
    OutputFile& operator=(const OutputFile&) = delete;
    ~OutputFile();

    const std::filesystem::path& path() const { return path_; }
    const std::filesystem::path& temporary() const { return temporary_; }

    /// @throws OutputError the file cannot be given its name.
    void commit();

    /// Give the file the name `<target>.partial`, if that is possible.
    void commit_partial() noexcept;

  private:
    std::filesystem::path path_;
    std::filesystem::path temporary_;
};

}  // namespace vpp
