#pragma once

#include <stdexcept>

namespace vpp {

/// Base of every error that this library throws on purpose. The message is one line that says what was wrong (with the
/// value), where, and what to do.
class Error : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

/// A bundle is incomplete, altered, of an unknown schema, or holds a model that this runtime does not run.
class BundleError : public Error {
  public:
    using Error::Error;
};

/// An engine is missing or damaged, or was built from another graph, by another version, or for another machine.
class EngineError : public Error {
  public:
    using Error::Error;
};

/// The call itself makes no sense: impossible sizes, arrays that disagree, an unknown track slot.
class UsageError : public Error {
  public:
    using Error::Error;
};

/// Something that must be installed for this, such as TensorRT, is not there or does not load.
class DependencyError : public Error {
  public:
    using Error::Error;
};

/// A GPU or its driver is not there, has not enough memory, or fails.
class DeviceError : public Error {
  public:
    using Error::Error;
};

/// The plugin library that an engine was built with is missing or does not load.
class PluginError : public Error {
  public:
    using Error::Error;
};

/// A video's frames cannot be read, or end too early.
class VideoError : public Error {
  public:
    using Error::Error;
};

/// A result file cannot be written where it was asked for.
class OutputError : public Error {
  public:
    using Error::Error;
};

}  // namespace vpp
