#include "failures.hpp"

#include "interrupt.hpp"
#include "result_output.hpp"
#include "vpp/error.hpp"

namespace vpp {
namespace {

enum ExitCode { kOk = 0, kInternal = 1, kUsage = 2, kMissing = 3, kIncompatible = 4, kPlugin = 5, kBadInput = 9 };
constexpr int kInterrupted = 130;  // 128 + SIGINT, as shells have it

/// `text` on one line that cannot disturb a terminal; file names can hold anything.
std::string printable(std::string text) {
    for (char& character : text) {
        const auto byte = static_cast<unsigned char>(character);
        character = byte < 0x20 || byte == 0x7f ? ' ' : character;
    }
    return text;
}

Failure failure(int exit_code, const std::exception& error) {
    return {exit_code, printable(std::string("error: ") + error.what())};
}

}  // namespace

Failure describe_failure(const std::exception_ptr& error) {
    try {
        std::rethrow_exception(error);
    } catch (const UsageError& usage) {
        return failure(kUsage, usage);
    } catch (const DependencyError& dependency) {
        return failure(kMissing, dependency);
    } catch (const DeviceError& device) {
        return failure(kMissing, device);
    } catch (const EngineError& engine) {
        return failure(kIncompatible, engine);
    } catch (const PluginError& plugin) {
        return failure(kPlugin, plugin);
    } catch (const Error& bad_input) {  // bundles, frames, outputs
        return failure(kBadInput, bad_input);
    } catch (const Interrupted& interrupt) {
        return {kInterrupted, std::string("interrupted: ") + interrupt.what()};
    } catch (const PipeClosed&) {
        return {kOk, ""};
    } catch (const std::exception& internal) {
        return {kInternal, printable(std::string("internal error: ") + internal.what())};
    }
}

}  // namespace vpp
