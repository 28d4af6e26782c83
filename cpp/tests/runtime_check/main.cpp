// vpp_runtime_check COMMAND FOLDER: reads FOLDER/cases.json (a list) and FOLDER/arrays.bin, and writes
// FOLDER/results.json (one result for each case) and FOLDER/results.bin. An error of the library is a result too.

#include <cstdio>
#include <exception>
#include <fstream>
#include <map>

#include "arrays.hpp"
#include "vpp/error.hpp"

namespace vpp::check {
namespace {

const std::map<std::string, Command> kCommands = {
    {"sha256", run_sha256},       {"manifest", run_manifest},     {"engine", run_engine},   {"plan", run_plan},
    {"letterbox", run_letterbox}, {"detections", run_detections}, {"tracker", run_tracker}, {"results", run_results},
    {"session", run_session},     {"plugins", run_plugins},
};

const char* kind_of(const Error& error) {
    if (dynamic_cast<const BundleError*>(&error)) {
        return "BundleError";
    }
    if (dynamic_cast<const EngineError*>(&error)) {
        return "EngineError";
    }
    if (dynamic_cast<const PluginError*>(&error)) {
        return "PluginError";
    }
    if (dynamic_cast<const UsageError*>(&error)) {
        return "UsageError";
    }
    return dynamic_cast<const OutputError*>(&error) ? "OutputError" : "Error";
}

void run(Command command, const std::filesystem::path& folder) {
    std::ifstream file(folder / "cases.json");
    const Json cases = Json::parse(file);
    const ArrayFile arrays(folder / "arrays.bin");
    ArrayFile result_arrays;
    Json results = Json::array();
    for (const Json& input : cases) {
        try {
            results.push_back(command(input, arrays, result_arrays));
        } catch (const Error& error) {
            results.push_back({{"error", kind_of(error)}, {"message", error.what()}});
        }
    }
    result_arrays.write(folder / "results.bin");
    std::ofstream(folder / "results.json") << results;
}

}  // namespace
}  // namespace vpp::check

int main(int count, char** arguments) {
    const auto command = count == 3 ? vpp::check::kCommands.find(arguments[1]) : vpp::check::kCommands.end();
    if (command == vpp::check::kCommands.end()) {
        std::fputs("usage: vpp_runtime_check COMMAND FOLDER\n", stderr);
        return 2;
    }
    try {
        vpp::check::run(command->second, arguments[2]);
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "vpp_runtime_check: %s\n", error.what());
        return 1;
    }
}
