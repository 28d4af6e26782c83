#pragma once

#include <stdexcept>

namespace vpp {

/// The user has pressed Ctrl-C.
class Interrupted : public std::runtime_error {
  public:
    Interrupted() : std::runtime_error("stopped by Ctrl-C") {}
};

/// From now on Ctrl-C does not end the process but makes `throw_if_interrupted` throw; a read that waits returns.
void catch_interrupts();

/// @throws Interrupted
void throw_if_interrupted();

}  // namespace vpp
