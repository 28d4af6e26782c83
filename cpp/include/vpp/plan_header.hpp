#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "vpp/engine_record.hpp"

namespace vpp {

/// What the first bytes of an engine file say. NVIDIA documents little of it, so it explains a failure better than it
/// predicts one: the engine record is the contract.
struct PlanHeader {
    std::string backend;                                ///< "tensorrt" or "tensorrt-rtx"
    std::array<int, 4> version;                         ///< major, minor, patch, build
    std::optional<std::uint64_t> total_bytes;           ///< length of the whole file (TensorRT-RTX)
    std::optional<std::uint32_t> compute_capabilities;  ///< bit mask of GPU architectures (TensorRT-RTX)

    /// e.g. "10.13.3.9".
    std::string version_text() const;
};

/// The header of an engine file; nothing if it does not begin like a TensorRT or TensorRT-RTX engine.
///
/// @throws EngineError the file cannot be read.
std::optional<PlanHeader> read_plan_header(const std::filesystem::path& path);

/// Why an engine file may not load on `host`, as far as its header tells: no such engine, cut off, another backend,
/// another version, another GPU. Nothing if the header raises no doubt, which is no promise that it loads.
///
/// @throws EngineError the file cannot be read.
std::optional<std::string> plan_hint(const std::filesystem::path& path, const EngineHost& host);

}  // namespace vpp
