#include <filesystem>
#include <fstream>
#include <string>

#include "check.hpp"
#include "vpp/error.hpp"
#include "vpp/plan_header.hpp"

namespace {

const std::filesystem::path kPath = std::filesystem::temp_directory_path() / "vpp_test_plan_header.engine";

/// Writes `bytes` and gives the hint for them, "" if there is none.
std::string hint(const std::string& bytes, const vpp::EngineHost& host) {
    std::ofstream(kPath, std::ios::binary) << bytes;
    return vpp::plan_hint(kPath, host).value_or("");
}

bool holds(const std::string& text, const char* part) {
    return text.find(part) != std::string::npos;
}

std::string tensorrt_plan() {
    std::string plan(100, '\0');
    plan.replace(0, 4, "ftrt");
    plan.replace(24, 4, "\x0a\x0d\x03\x09");
    return plan;
}

std::string rtx_engine() {
    std::string engine(100, '\0');
    engine.replace(0, 4, "vtrt");
    engine[16] = 100;
    engine.replace(24, 4, "\x01\x07\x01\x74");
    engine[32] = 2 | 4 | 8;  // 8.0, 8.6, 8.9
    return engine;
}

void tensorrt() {
    const std::string plan = tensorrt_plan();
    CHECK(hint(plan, {"tensorrt", "10.13.3.9", "9.0"}).empty());
    CHECK(hint(plan, {"tensorrt", "10.13.3", "9.0"}).empty());
    CHECK(holds(hint(plan, {"tensorrt", "10.13.30", {}}), "built by version 10.13.3.9, this machine has 10.13.30"));
    CHECK(holds(hint(plan, {"tensorrt-rtx", "1.7.1", {}}), "an engine of tensorrt, not of tensorrt-rtx"));
    CHECK(holds(hint(plan.substr(0, 27), {"tensorrt", "10.13.3", {}}), "does not begin like a TensorRT engine"));
}

void tensorrt_rtx() {
    const std::string engine = rtx_engine();
    CHECK(hint(engine, {"tensorrt-rtx", "1.7.1.116", "8.9"}).empty());
    CHECK(hint(engine, {"tensorrt-rtx", "1.7.1.116", "99.9"}).empty());
    CHECK(holds(hint(engine, {"tensorrt-rtx", "1.7.1", "12.0"}), "not built for compute capability 12.0"));
    CHECK(holds(hint(engine.substr(0, 90), {"tensorrt-rtx", "1.7.1", {}}), "has 90 bytes, its header says 100"));
    CHECK(holds(hint(engine.substr(0, 30), {"tensorrt-rtx", "1.7.1", {}}), "does not begin like"));
}

void not_an_engine() {
    CHECK(holds(hint("", {"tensorrt", "10.0", {}}), "does not begin like"));
    CHECK(holds(hint(std::string(100, 'x'), {"tensorrt", "10.0", {}}), "does not begin like"));
    CHECK_THROWS(vpp::read_plan_header("no such file"), vpp::EngineError, "cannot read the engine file no such file");
    CHECK_THROWS(vpp::read_plan_header("."), vpp::EngineError, "cannot read");
}

}  // namespace

int main() {
    tensorrt();
    tensorrt_rtx();
    not_an_engine();
    std::filesystem::remove(kPath);
    return vpp::test::failures();
}
