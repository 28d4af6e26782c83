#pragma once

#include <exception>
#include <string>

namespace vpp {

/// What the user is told about an error.
struct Failure {
    int exit_code;     ///< as the Python command line has them
    std::string line;  ///< for standard error; empty: nothing
};

/// @param error what a program's work has thrown.
Failure describe_failure(const std::exception_ptr& error);

}  // namespace vpp
