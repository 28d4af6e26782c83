#pragma once

#include <functional>
#include <string>

namespace vpp {

/// Takes one warning, as one line without its end. It may be called from several threads at once.
using Log = std::function<void(const std::string& line)>;

/// Writes `warning: …` to standard error.
void log_to_stderr(const std::string& line);

}  // namespace vpp
