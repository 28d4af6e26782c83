#include "text.hpp"

namespace vpp {

std::string one_line(std::string_view text) {
    constexpr std::size_t kLongest = 80;
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string result;
    for (const char character : text.substr(0, kLongest)) {
        const auto byte = static_cast<unsigned char>(character);
        if (byte >= 0x20 && byte != 0x7f) {
            result += character;
        } else {
            result += "\\x";
            result += kDigits[byte >> 4];
            result += kDigits[byte & 15];
        }
    }
    return result + (text.size() > kLongest ? "…" : "");
}

std::string in_quotes(std::string_view text) {
    return "'" + one_line(text) + "'";
}

std::string join(const std::vector<std::string>& parts, std::string_view separator) {
    std::string result;
    for (const std::string& part : parts) {
        result += result.empty() ? "" : separator;
        result += part;
    }
    return result;
}

}  // namespace vpp
