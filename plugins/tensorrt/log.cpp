#include "log.h"

#include <atomic>

namespace vpp {
namespace {

std::atomic<nvinfer1::ILoggerFinder*> logger_finder{nullptr};

}  // namespace

void set_logger_finder(nvinfer1::ILoggerFinder* finder) noexcept {
    logger_finder = finder;
}

void log_error(const char* plugin, const std::string& message) noexcept {
    nvinfer1::ILoggerFinder* finder = logger_finder;
    nvinfer1::ILogger* logger = finder == nullptr ? nullptr : finder->findLogger();
    if (logger != nullptr) {
        logger->log(nvinfer1::ILogger::Severity::kERROR, (plugin + (": " + message)).c_str());
    }
}

}  // namespace vpp
