#include "json_value.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>

#include "text.hpp"

namespace vpp {
namespace {

/// A scalar as a message shows it, empty for anything else.
std::string shown(const nlohmann::json& value) {
    if (value.is_string()) {
        return ", got " + in_quotes(value.get_ref<const std::string&>());
    }
    return value.is_number() || value.is_boolean() ? ", got " + value.dump() : "";
}

constexpr std::size_t kMostBytes = 64'000'000;
constexpr std::ptrdiff_t kMostValues = 4'000'000;

/// What is in a regular file. A FIFO is not waited for, and a file that is too large is not read.
std::string content_of(const std::filesystem::path& path) {
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (descriptor < 0) {
        throw std::runtime_error("cannot be read");
    }
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(::fdopen(descriptor, "rb"), std::fclose);
    struct stat status{};
    if (!file || ::fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) {
        throw std::runtime_error("cannot be read: it is not a regular file");
    }
    const auto size = static_cast<std::size_t>(status.st_size);
    if (size > kMostBytes) {
        throw std::runtime_error("has " + std::to_string(size / 1'000'000) + " MB, and the most that is read is 64 MB");
    }
    std::string content(size, '\0');
    content.resize(std::fread(content.data(), 1, size, file.get()));
    if (std::ferror(file.get())) {
        throw std::runtime_error("cannot be read");
    }
    return content;
}

}  // namespace

void JsonValue::fail(const std::string& problem) const {
    throw SchemaError(path_.empty() ? problem : one_line(path_) + ": " + problem);
}

void JsonValue::require(bool is_right, const char* type) const {
    if (!is_right) {
        fail("should be " + std::string(type) + shown(*value_));
    }
}

JsonValue JsonValue::child(const nlohmann::json& value, const std::string& name) const {
    return JsonValue(value, path_.empty() ? name : path_ + "." + name);
}

const std::string& JsonValue::string() const {
    require(value_->is_string(), "a string");
    return value_->get_ref<const std::string&>();
}

std::size_t JsonValue::one_of(std::initializer_list<std::string_view> choices) const {
    std::size_t position = 0;
    std::vector<std::string> names;
    for (const std::string_view choice : choices) {
        if (value_->is_string() && value_->get_ref<const std::string&>() == choice) {
            return position;
        }
        names.push_back(in_quotes(choice));
        ++position;
    }
    fail("should be " + join(names, " or ") + shown(*value_));
}

std::int64_t JsonValue::integer() const {
    if (value_->is_number_float()) {
        const auto number = value_->get<double>();
        require(std::trunc(number) == number && std::abs(number) < 9e15, "a whole number");
        return static_cast<std::int64_t>(number);
    }
    require(value_->is_number_integer(), "a whole number");
    require(!value_->is_number_unsigned() || value_->get<std::uint64_t>() <= INT64_MAX, "a number below 2^63");
    return value_->get<std::int64_t>();
}

std::int64_t JsonValue::integer_from(std::int64_t least) const {
    const std::int64_t number = integer();
    if (number < least) {
        fail("should be at least " + std::to_string(least) + shown(*value_));
    }
    return number;
}

std::int64_t JsonValue::positive() const {
    const std::int64_t number = integer_from(1);
    require(number <= INT32_MAX, "a number below 2^31");
    return number;
}

double JsonValue::number() const {
    require(value_->is_number(), "a number");
    return value_->get<double>();
}

double JsonValue::probability() const {
    const double probability = number();
    require(probability >= 0 && probability <= 1, "a number from 0 to 1");
    return probability;
}

std::vector<JsonValue> JsonValue::items() const {
    require(value_->is_array(), "a list");
    std::vector<JsonValue> items;
    for (const nlohmann::json& item : *value_) {
        items.push_back(child(item, std::to_string(items.size())));
    }
    return items;
}

std::vector<JsonValue> JsonValue::items(std::size_t count) const {
    std::vector<JsonValue> all = items();
    if (all.size() != count) {
        fail("should have " + std::to_string(count) + " items, not " + std::to_string(all.size()));
    }
    return all;
}

std::vector<std::string> JsonValue::strings() const {
    std::vector<std::string> strings;
    for (const JsonValue& item : items()) {
        strings.push_back(item.string());
    }
    return strings;
}

std::vector<std::pair<std::string, JsonValue>> JsonValue::members() const {
    require(value_->is_object(), "an object");
    std::vector<std::pair<std::string, JsonValue>> members;
    for (const auto& [name, value] : value_->items()) {
        members.emplace_back(name, child(value, name));
    }
    return members;
}

JsonFields::JsonFields(const JsonValue& value) : object_(value) {
    object_.require(object_.value_->is_object(), "an object");
}

JsonValue JsonFields::at(const std::string& name) {
    if (const std::optional<JsonValue> field = find(name)) {
        return *field;
    }
    object_.child(*object_.value_, name).fail("field is missing");
}

std::optional<JsonValue> JsonFields::find(const std::string& name) {
    known_.insert(name);
    const auto field = object_.value_->find(name);
    return field == object_.value_->end() ? std::nullopt : std::optional(object_.child(*field, name));
}

void JsonFields::refuse_others() const {
    for (const auto& [name, value] : object_.members()) {
        if (known_.count(name) == 0) {
            value.fail("is not a field of the schema");
        }
    }
}

nlohmann::json read_json_file(const std::filesystem::path& path) {
    const std::string content = content_of(path);
    const auto values = std::count_if(content.begin(), content.end(),
                                      [](char byte) { return byte == ',' || byte == '[' || byte == '{'; });
    if (values > kMostValues) {
        throw std::runtime_error("holds more than " + std::to_string(kMostValues) + " values");
    }
    try {
        return nlohmann::json::parse(content);
    } catch (const nlohmann::json::parse_error& error) {
        throw std::runtime_error("is not JSON (see byte " + std::to_string(error.byte) + ")");
    } catch (const nlohmann::json::out_of_range&) {
        throw std::runtime_error("is not JSON (a number is too large)");
    }
}

}  // namespace vpp
