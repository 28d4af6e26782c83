#include "vpp/plan_header.hpp"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <map>

#include "version.hpp"
#include "vpp/error.hpp"

namespace vpp {
namespace {

constexpr std::size_t kTensorRtBytes = 28;
constexpr std::size_t kTensorRtRtxBytes = 36;
constexpr std::size_t kVersionAt = 24;

/// Bits in the header of a TensorRT-RTX 1.7 engine, by compute capability.
const std::map<std::string, std::uint32_t> kArchitectures = {{"7.5", 1}, {"8.0", 2},   {"8.6", 4},
                                                             {"8.9", 8}, {"12.0", 16}, {"12.1", 32}};

template <class Integer>
Integer little_endian(const std::string& bytes, std::size_t at) {
    Integer value = 0;
    for (std::size_t n = 0; n < sizeof(Integer); ++n) {
        value |= static_cast<Integer>(static_cast<unsigned char>(bytes[at + n])) << (8 * n);
    }
    return value;
}

std::string first_bytes(const std::filesystem::path& path, std::size_t count) {
    std::ifstream file(path, std::ios::binary);
    std::string bytes(count, '\0');
    file.read(bytes.data(), static_cast<std::streamsize>(count));
    if (!file.is_open() || file.bad() || std::filesystem::is_directory(path)) {
        throw EngineError("cannot read the engine file " + path.string() + "; build the engine again");
    }
    bytes.resize(static_cast<std::size_t>(file.gcount()));
    return bytes;
}

}  // namespace

std::string PlanHeader::version_text() const {
    std::string text;
    for (const int part : version) {
        text += (text.empty() ? "" : ".") + std::to_string(part);
    }
    return text;
}

std::optional<PlanHeader> read_plan_header(const std::filesystem::path& path) {
    const std::string bytes = first_bytes(path, kTensorRtRtxBytes);
    const std::string magic = bytes.substr(0, 4);
    PlanHeader header{};
    if (magic == "ftrt" && bytes.size() >= kTensorRtBytes && little_endian<std::uint32_t>(bytes, 4) == 0) {
        header.backend = "tensorrt";
    } else if (magic == "vtrt" && bytes.size() >= kTensorRtRtxBytes) {
        header.backend = "tensorrt-rtx";
        header.total_bytes = little_endian<std::uint64_t>(bytes, 16);
        header.compute_capabilities = little_endian<std::uint32_t>(bytes, 32);
    } else {
        return std::nullopt;
    }
    for (std::size_t n = 0; n < header.version.size(); ++n) {
        header.version[n] = static_cast<unsigned char>(bytes[kVersionAt + n]);
    }
    return header;
}

std::optional<std::string> plan_hint(const std::filesystem::path& path, const EngineHost& host) {
    const std::optional<PlanHeader> header = read_plan_header(path);
    const std::string name = path.filename().string();
    if (!header) {
        return name + " does not begin like a TensorRT engine: it is cut off or something else";
    }
    if (header->backend != host.backend) {
        return name + " is an engine of " + header->backend + ", not of " + host.backend;
    }
    if (const std::uint64_t bytes = std::filesystem::file_size(path);
        header->total_bytes && *header->total_bytes != bytes) {
        return name + " has " + std::to_string(bytes) + " bytes, its header says " +
               std::to_string(*header->total_bytes) + ": it was cut off or extended";
    }
    if (!same_version(header->version_text(), host.backend_version)) {
        return name + " was built by version " + header->version_text() + ", this machine has " + host.backend_version;
    }
    const auto bit = host.compute_capability ? kArchitectures.find(*host.compute_capability) : kArchitectures.end();
    if (header->compute_capabilities && bit != kArchitectures.end() && !(*header->compute_capabilities & bit->second)) {
        return name + " was not built for compute capability " + *host.compute_capability;
    }
    return std::nullopt;
}

}  // namespace vpp
