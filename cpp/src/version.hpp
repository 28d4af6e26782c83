#pragma once

#include <string>

namespace vpp {

/// Whether `given` is the version `recorded`, or its leading components: "10.13.3" stands for "10.13.3.9".
inline bool same_version(const std::string& recorded, const std::string& given) {
    return recorded == given || (!given.empty() && recorded.compare(0, given.size() + 1, given + ".") == 0);
}

}  // namespace vpp
