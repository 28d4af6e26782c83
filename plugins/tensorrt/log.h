// Messages through TensorRT's own logger, where the loading process has lent it.
#pragma once

#include <NvInferRuntime.h>

#include <string>

namespace vpp {

void set_logger_finder(nvinfer1::ILoggerFinder* finder) noexcept;

void log_error(const char* plugin, const std::string& message) noexcept;

}  // namespace vpp
