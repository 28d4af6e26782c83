#include "interrupt.hpp"

#include <csignal>

namespace vpp {
namespace {

volatile std::sig_atomic_t interrupted = 0;

}  // namespace

void catch_interrupts() {
    struct sigaction action{};
    action.sa_handler = [](int) { interrupted = 1; };  // without SA_RESTART
    sigaction(SIGINT, &action, nullptr);
}

void throw_if_interrupted() {
    if (interrupted != 0) {
        throw Interrupted();
    }
}

}  // namespace vpp
