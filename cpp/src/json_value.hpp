#pragma once

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vpp {

/// JSON that breaks its schema. The message is `field.path: problem`, for the caller to say which file it is in.
class SchemaError : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

/// A value in a JSON document that knows its path there, read with the type that it should have.
///
/// Every reading function throws SchemaError. Refers to the document, which must outlive it.
class JsonValue {
  public:
    explicit JsonValue(const nlohmann::json& value, std::string path = "") : value_(&value), path_(std::move(path)) {}

    bool is_null() const { return value_->is_null(); }

    const std::string& string() const;

    /// One of a few strings: its position among `choices`.
    std::size_t one_of(std::initializer_list<std::string_view> choices) const;

    /// A whole number; 16.0 is one.
    std::int64_t integer() const;
    std::int64_t integer_from(std::int64_t least) const;

    /// A length or a count: 1 to 2^31 - 1.
    std::int64_t positive() const;

    double number() const;

    /// A number in [0, 1].
    double probability() const;

    /// The elements of an array.
    std::vector<JsonValue> items() const;
    std::vector<JsonValue> items(std::size_t count) const;
    std::vector<std::string> strings() const;

    /// The members of an object whose names are free.
    std::vector<std::pair<std::string, JsonValue>> members() const;

    [[noreturn]] void fail(const std::string& problem) const;

  private:
    friend class JsonFields;
    JsonValue child(const nlohmann::json& value, const std::string& name) const;
    void require(bool is_right, const char* type) const;

    const nlohmann::json* value_;
    std::string path_;
};

/// The fields of an object whose names are fixed.
class JsonFields {
  public:
    /// @throws SchemaError `value` is not an object.
    explicit JsonFields(const JsonValue& value);

    /// @throws SchemaError there is no such field.
    JsonValue at(const std::string& name);

    std::optional<JsonValue> find(const std::string& name);

    /// Call it when all fields have been asked for.
    ///
    /// @throws SchemaError there is another one.
    void refuse_others() const;

  private:
    JsonValue object_;
    std::set<std::string> known_;
};

/// The document in a regular file of up to 64 MB.
///
/// @throws std::runtime_error it cannot be read, is too large, or is not JSON; the message says which, without the
/// path.
nlohmann::json read_json_file(const std::filesystem::path& path);

}  // namespace vpp
