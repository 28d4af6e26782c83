#include "file_record.hpp"

namespace vpp {
namespace {

std::string sha256(const JsonValue& value) {
    const std::string& digits = value.string();
    if (digits.size() != 64 || digits.find_first_not_of("0123456789abcdef") != std::string::npos) {
        value.fail("should be 64 lower-case hex digits");
    }
    return digits;
}

}  // namespace

std::map<std::string, FileRecord> file_records(const JsonValue& value) {
    std::map<std::string, FileRecord> records;
    for (const auto& [name, member] : value.members()) {
        JsonFields fields(member);
        records[name] = {fields.at("bytes").integer_from(0), sha256(fields.at("sha256"))};
        fields.refuse_others();
    }
    return records;
}

}  // namespace vpp
