#pragma once

#include <NvInferRuntime.h>

#include <filesystem>

#include "vpp/manifest.hpp"

namespace vpp {

/// Hold an engine's inputs and outputs to the manifest.
///
/// @param path of the engine, for the message.
/// @throws EngineError a tensor is missing, is too many, or has another dtype, shape or place.
void check_tensors(const nvinfer1::ICudaEngine& engine, const Manifest& manifest, GraphRole phase,
                   const std::filesystem::path& path);

}  // namespace vpp
