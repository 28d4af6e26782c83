#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace vpp {

/// `text` on one line: control characters become \xNN, and what is longer than 80 bytes is cut.
std::string one_line(std::string_view text);

/// `text` in single quotes, on one line.
std::string in_quotes(std::string_view text);

/// `parts` with `separator` between them.
std::string join(const std::vector<std::string>& parts, std::string_view separator);

}  // namespace vpp
