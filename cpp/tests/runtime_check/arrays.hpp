#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

namespace vpp::check {

using Json = nlohmann::ordered_json;

/// The arrays of all cases lie in one file, little-endian; JSON refers to them as {"dtype", "shape", "offset"}.
class ArrayFile {
  public:
    ArrayFile() = default;
    explicit ArrayFile(const std::filesystem::path& path);

    /// The elements of an array; its dtype must be that of T.
    template <class T>
    std::vector<T> read(const Json& array) const {
        if (array.at("dtype") != dtype_of<T>()) {
            throw std::runtime_error("an array is " + array.at("dtype").get<std::string>() + ", not " + dtype_of<T>());
        }
        std::vector<T> values(length(array));
        copy(array.at("offset"), values.data(), values.size() * sizeof(T));
        return values;
    }

    /// Append an array; gives the JSON that refers to it.
    template <class T>
    Json append(const std::vector<T>& values, const std::vector<std::int64_t>& shape) {
        const Json array{{"dtype", dtype_of<T>()}, {"shape", shape}, {"offset", bytes_.size()}};
        if (length(array) != values.size()) {
            throw std::runtime_error("an array's shape does not fit its length");
        }
        const auto first = reinterpret_cast<const char*>(values.data());
        bytes_.insert(bytes_.end(), first, first + values.size() * sizeof(T));
        return array;
    }

    void write(const std::filesystem::path& path) const;

  private:
    template <class T>
    static std::string dtype_of() {
        if constexpr (std::is_same_v<T, float>) {
            return "float32";
        }
        return (std::is_signed_v<T> ? "int" : "uint") + std::to_string(8 * sizeof(T));
    }

    static std::size_t length(const Json& array);
    void copy(std::size_t offset, void* target, std::size_t bytes) const;

    std::vector<char> bytes_;
};

/// What a command computes for one case.
using Command = Json (*)(const Json& input, const ArrayFile& arrays, ArrayFile& results);

Json run_sha256(const Json& input, const ArrayFile& arrays, ArrayFile& results);
Json run_manifest(const Json& input, const ArrayFile& arrays, ArrayFile& results);
Json run_engine(const Json& input, const ArrayFile& arrays, ArrayFile& results);
Json run_plan(const Json& input, const ArrayFile& arrays, ArrayFile& results);
Json run_letterbox(const Json& input, const ArrayFile& arrays, ArrayFile& results);
Json run_detections(const Json& input, const ArrayFile& arrays, ArrayFile& results);
Json run_tracker(const Json& input, const ArrayFile& arrays, ArrayFile& results);
Json run_session(const Json& input, const ArrayFile& arrays, ArrayFile& results);
Json run_plugins(const Json& input, const ArrayFile& arrays, ArrayFile& results);
Json run_results(const Json& input, const ArrayFile& arrays, ArrayFile& results);

}  // namespace vpp::check
