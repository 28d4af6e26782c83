#include "vpp/log.hpp"

#include <cstdio>

namespace vpp {

void log_to_stderr(const std::string& line) {
    std::fprintf(stderr, "warning: %s\n", line.c_str());
}

}  // namespace vpp
