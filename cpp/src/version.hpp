#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <sstream>
#include <string>
#include <system_error>
#include <vector>

namespace vpp {

/// The components of a version that are numbers: 11, 1, 0 and 106 of "11.1.0.106.post1".
inline std::vector<int> version_numbers(const std::string& version) {
    std::vector<int> numbers;
    std::istringstream parts(version);
    for (std::string part; std::getline(parts, part, '.');) {
        int number = 0;
        const char* end = part.data() + part.size();
        const auto [stop, error] = std::from_chars(part.data(), end, number);
        if (error == std::errc() && stop == end) {
            numbers.push_back(number);
        }
    }
    return numbers;
}

/// Whether `given` is the version `recorded`, or its leading components: "10.13.3" stands for "10.13.3.9".
inline bool same_version(const std::string& recorded, const std::string& given) {
    return recorded == given || (!given.empty() && recorded.compare(0, given.size() + 1, given + ".") == 0);
}

/// Whether both are of one major version, and `recorded` is no later than `given`, as far as that one tells.
inline bool is_earlier_minor(const std::string& recorded, const std::string& given) {
    std::vector<int> built = version_numbers(recorded);
    const std::vector<int> here = version_numbers(given);
    built.resize(std::min(built.size(), here.size()));
    return !built.empty() && built[0] == here[0] && built <= here;
}

}  // namespace vpp
