#pragma once

#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "vpp/json_lines.hpp"
#include "vpp/results.hpp"

namespace vpp {

/// Whoever read our standard output has seen enough.
class PipeClosed : public std::runtime_error {
  public:
    PipeClosed() : std::runtime_error("standard output was closed") {}
};

/// JSON lines into a file (see `JsonLinesWriter`), or to standard output, line by line.
class ResultOutput {
  public:
    /// @param path the file; "-": standard output.
    /// @throws OutputError the file cannot be written.
    ResultOutput(const std::string& path, std::vector<std::string> class_names);

    /// @throws OutputError writing failed.
    /// @throws PipeClosed
    void write(const FrameResult& result);

    /// Give the file its name; without it, complete lines stay as `<path>.partial`.
    ///
    /// @throws OutputError writing failed.
    void close();

  private:
    std::vector<std::string> class_names_;
    std::optional<JsonLinesWriter> file_;
};

}  // namespace vpp
