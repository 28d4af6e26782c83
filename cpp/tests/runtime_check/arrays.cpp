#include "arrays.hpp"

#include <cstring>
#include <fstream>
#include <iterator>

namespace vpp::check {

ArrayFile::ArrayFile(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    bytes_.assign(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    if (!file.is_open() || file.bad()) {
        throw std::runtime_error("cannot read " + path.string());
    }
}

void ArrayFile::write(const std::filesystem::path& path) const {
    std::ofstream file(path, std::ios::binary);
    file.write(bytes_.data(), static_cast<std::streamsize>(bytes_.size()));
    if (!file.flush()) {
        throw std::runtime_error("cannot write " + path.string());
    }
}

std::size_t ArrayFile::length(const Json& array) {
    std::size_t length = 1;
    for (const Json& side : array.at("shape")) {
        length *= side.get<std::size_t>();
    }
    return length;
}

void ArrayFile::copy(std::size_t offset, void* target, std::size_t bytes) const {
    if (offset > bytes_.size() || bytes > bytes_.size() - offset) {
        throw std::runtime_error("an array lies outside the file");
    }
    if (bytes > 0) {
        std::memcpy(target, bytes_.data() + offset, bytes);
    }
}

}  // namespace vpp::check
