#pragma once

#include <map>
#include <string>

#include "json_value.hpp"
#include "vpp/manifest.hpp"

namespace vpp {

/// `{"name": {"bytes": 1, "sha256": "…"}, …}`.
///
/// @throws SchemaError a record is not like that.
std::map<std::string, FileRecord> file_records(const JsonValue& value);

}  // namespace vpp
