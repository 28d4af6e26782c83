// Streams with their state on a device: swapping, capturing, prefetching, several streams over one engine.

#include <algorithm>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "check.hpp"
#include "recording_device.hpp"
#include "vpp/device_stream.hpp"

namespace {

using vpp::DType;
using vpp::GraphRole;
using vpp::test::Addresses;
using vpp::test::Call;
using vpp::test::RecordingContext;
using vpp::test::RecordingDevice;

constexpr std::size_t kFrames = 7;

/// A model that sums up the pictures of a video, and counts them.
vpp::Manifest manifest() {
    vpp::Manifest manifest{};
    const vpp::TensorSpec frame{"frame", DType::UInt8, {4}};
    const std::vector<vpp::TensorSpec> outputs = {{"sums", DType::Float32, {2}}, {"count", DType::Int32, {1}}};
    manifest.init = {"init.onnx", {frame}, outputs};
    manifest.step = {"step.onnx", {frame, {"track", DType::Float32, {2}}}, outputs};
    manifest.state = {{"counter", DType::Int32, {1}, "counter_in", "counter_out"},
                      {"memory", DType::Float32, {2}, "memory_in", "memory_out"}};
    return manifest;
}

void compute(GraphRole phase, const Addresses& memory) {
    const auto floats = [&memory](const char* name) { return static_cast<float*>(memory.at(name)); };
    const auto integers = [&memory](const char* name) { return static_cast<std::int32_t*>(memory.at(name)); };
    const auto* frame = static_cast<std::uint8_t*>(memory.at("frame"));
    const bool is_step = phase == GraphRole::Step;
    integers("counter_out")[0] = integers("count")[0] = 1 + (is_step ? integers("counter_in")[0] : 0);
    for (int n = 0; n < 2; ++n) {
        const float past = is_step ? 0.5F * floats("memory_in")[n] + floats("track")[n] : 0;
        floats("memory_out")[n] = past + std::accumulate(frame, frame + 4, 0.0F);
        floats("sums")[n] = floats("memory_out")[n] + static_cast<float>(n);
    }
}

template <class Element>
std::shared_ptr<vpp::Tensor> tensor(DType dtype, const std::vector<Element>& values) {
    auto tensor = std::make_shared<vpp::Tensor>(dtype, vpp::Shape{static_cast<std::int64_t>(values.size())});
    tensor->assign(values);
    return tensor;
}

/// What is fed on each frame.
std::vector<vpp::SharedTensors> inputs() {
    std::vector<vpp::SharedTensors> inputs;
    for (std::size_t n = 0; n < kFrames; ++n) {
        const auto brightness = static_cast<std::uint8_t>(31 * n + 5);
        inputs.push_back({{"frame", tensor<std::uint8_t>(DType::UInt8, {brightness, 1, 2, brightness})},
                          {"track", tensor<float>(DType::Float32, {0.25F * static_cast<float>(n), 3})}});
    }
    return inputs;
}

struct Outputs {
    std::vector<float> sums;
    std::int32_t count;
};

/// What comes out on each frame of a video of `length` frames.
std::vector<Outputs> expected(std::size_t length = kFrames) {
    std::vector<Outputs> expected;
    float first = 0;
    float second = 0;
    const auto fed = inputs();
    for (std::size_t n = 0; n < length; ++n) {
        const auto frame = fed[n].at("frame")->values<std::uint8_t>();
        const auto track = fed[n].at("track")->values<float>();
        const float sum = std::accumulate(frame.begin(), frame.end(), 0.0F);
        first = n == 0 ? sum : 0.5F * first + track[0] + sum;
        second = n == 0 ? sum : 0.5F * second + track[1] + sum;
        expected.push_back({{first, second + 1}, static_cast<std::int32_t>(n + 1)});
    }
    return expected;
}

struct Bench {
    explicit Bench(bool captures = true, bool refuses_capture = false)
        : device(std::make_shared<RecordingDevice>(captures, refuses_capture)) {}

    std::unique_ptr<vpp::DeviceStream> open() {
        return std::make_unique<vpp::DeviceStream>(
            manifest(), device,
            [this](GraphRole phase) { return std::make_unique<RecordingContext>(device, phase, compute); },
            [this](const std::string& line) { warnings.push_back(line); });
    }

    std::shared_ptr<RecordingDevice> device;
    std::vector<std::string> warnings;
};

void check(vpp::EngineStream& stream, const vpp::SharedTensors& fed, const Outputs& expected) {
    const vpp::Tensors outputs = stream.run(fed);
    CHECK(outputs.size() == 2);
    CHECK(outputs.at("sums").values<float>() == expected.sums);
    CHECK(outputs.at("count").values<std::int32_t>().at(0) == expected.count);
}

/// Run the frames from `begin` to `end` of the video.
void check(vpp::EngineStream& stream, std::size_t begin, std::size_t end) {
    const auto fed = inputs();
    const auto outputs = expected();
    for (std::size_t n = begin; n < end; ++n) {
        check(stream, fed[n], outputs[n]);
    }
}

/// For every step that was put into a queue or captured: where the memory is read and written.
std::vector<std::pair<void*, void*>> state_bindings(const RecordingDevice& device) {
    std::vector<std::pair<void*, void*>> places;
    for (const Call& call : device.calls("enqueue")) {
        if (call.bindings.count("memory_in") > 0) {
            places.emplace_back(call.bindings.at("memory_in"), call.bindings.at("memory_out"));
        }
    }
    return places;
}

void a_stream_on_a_device_computes_the_same() {
    for (const bool captures : {true, false}) {
        Bench bench(captures);
        check(*bench.open(), 0, kFrames);
    }
}

void state_stays_on_the_device_and_swaps_every_frame() {
    Bench bench(false);
    check(*bench.open(), 0, kFrames);
    const auto steps = state_bindings(*bench.device);
    CHECK(steps.size() == kFrames - 1);
    for (std::size_t n = 1; n < steps.size(); ++n) {
        CHECK(steps[n].first == steps[n - 1].second && steps[n].second == steps[n - 1].first);
    }
    for (const char* name : {"upload", "download"}) {
        for (const Call& call : bench.device->calls(name)) {
            CHECK(call.address != steps[0].first && call.address != steps[0].second);
        }
    }
}

void two_graphs_are_captured_each_after_a_warm_up() {
    Bench bench;
    check(*bench.open(), 0, kFrames);
    std::string work;
    for (const Call& call : bench.device->log) {
        if (call.name == "enqueue" || call.name == "capture" || call.name == "launch") {
            work += (work.empty() ? "" : " ") + call.name;
        }
    }
    // init; both directions once as they are; then each is captured (which puts its run into the graph) and launched
    CHECK(work == "enqueue enqueue enqueue capture enqueue launch capture enqueue launch launch launch");
    const auto launches = bench.device->calls("launch");
    CHECK(launches[0].address == launches[2].address && launches[1].address == launches[3].address);
    CHECK(launches[0].address != launches[1].address);
    const auto steps = state_bindings(*bench.device);
    CHECK(steps[2].first == steps[3].second && steps[2].second == steps[3].first);
}

void what_cannot_be_captured_runs_without_and_says_so_once() {
    Bench bench(true, true);
    check(*bench.open(), 0, kFrames);
    CHECK(bench.device->calls("capture").size() == 1);
    CHECK(bench.device->calls("launch").empty());
    CHECK((bench.warnings == std::vector<std::string>{
                                 "the step graph cannot be captured on recording (it refuses to); running without"}));
}

void prefetched_inputs_go_up_on_a_queue_of_their_own() {
    Bench bench;
    const auto stream = bench.open();
    const auto fed = inputs();
    const auto outputs = expected();
    for (std::size_t n = 0; n < kFrames; ++n) {
        check(*stream, fed[n], outputs[n]);
        if (n + 1 < kFrames) {
            stream->prefetch({{"frame", fed[n + 1].at("frame")}});
        }
    }
    CHECK(bench.device->calls("follow").size() == kFrames - 1);
    CHECK(bench.device->calls("copy").size() == kFrames - 1);
    const auto uploads = bench.device->calls("upload");
    CHECK(std::count_if(uploads.begin(), uploads.end(), [](const Call& call) { return call.queue == 2; }) ==
          kFrames - 1);
}

void what_was_prefetched_in_vain_is_not_used() {
    Bench bench;
    const auto stream = bench.open();
    const auto fed = inputs();
    const auto outputs = expected();
    for (std::size_t n = 0; n < kFrames; ++n) {
        stream->prefetch({{"frame", tensor<std::uint8_t>(DType::UInt8, {9, 9, 9, 9})}});
        stream->prefetch({{"frame", std::make_shared<vpp::Tensor>(*fed[n].at("frame"))}});
        check(*stream, fed[n], outputs[n]);
    }
    CHECK(bench.device->calls("copy").empty());
    const auto waits = bench.device->calls("synchronize");  // host memory is not written while an upload reads it
    CHECK(std::count_if(waits.begin(), waits.end(), [](const Call& call) { return call.queue == 2; }) ==
          2 * kFrames - 1);
}

void a_stream_that_ends_waits_for_its_uploads() {
    Bench bench;
    bench.open()->prefetch({{"frame", inputs()[0].at("frame")}});
    const Call last = bench.device->log.back();
    CHECK(last.name == "synchronize" && last.queue == 2);
}

void reset_starts_anew_and_keeps_the_graphs() {
    Bench bench;
    const auto stream = bench.open();
    for (const std::size_t length : {kFrames, std::size_t{1}, std::size_t{4}, kFrames}) {
        stream->reset();
        check(*stream, 0, length);
    }
    CHECK(bench.device->calls("capture").size() == 2);
}

/// Run to `end`, so that state was last read from either buffer, and go on from the snapshot at `split`.
void a_snapshot_continues_on_any_stream(std::size_t split, std::size_t end) {
    Bench bench;
    Bench other(false);
    const auto ours = bench.open();
    const auto theirs = other.open();
    check(*ours, 0, split);
    const vpp::StreamState snapshot = ours->snapshot();
    CHECK(snapshot.phase == (split == 0 ? GraphRole::Init : GraphRole::Step));
    CHECK(snapshot.tensors.size() == (split == 0 ? 0 : 2));
    check(*ours, split, end);
    theirs->restore(snapshot);
    check(*theirs, split, kFrames);
    ours->restore(snapshot);
    check(*ours, split, kFrames);
}

void a_snapshot_of_another_model_is_refused_and_changes_nothing() {
    Bench bench;
    const auto stream = bench.open();
    check(*stream, 0, 2);
    vpp::StreamState snapshot = stream->snapshot();
    snapshot.tensors.erase("memory");
    CHECK_THROWS(stream->restore(snapshot), vpp::UsageError, "no state memory of float32 [2]; give one of the same");
    snapshot.tensors.emplace("memory", vpp::Tensor(DType::Float32, {3}));
    CHECK_THROWS(stream->restore(snapshot), vpp::UsageError, "no state memory of float32 [2]");
    check(*stream, 2, kFrames);
}

void streams_over_one_engine_do_not_meet() {
    Bench bench;
    const auto first = bench.open();
    const auto second = bench.open();
    check(*first, 0, 3);
    for (std::size_t n = 0; n < kFrames; ++n) {
        check(*second, n, n + 1);
        if (3 + n < kFrames) {
            check(*first, 3 + n, 4 + n);
        }
    }
}

void inputs_that_do_not_fit_are_refused_before_anything_is_queued() {
    Bench bench;
    const auto stream = bench.open();
    auto fed = inputs();
    check(*stream, 0, 1);
    const std::size_t calls = bench.device->log.size();
    auto wrong = fed[1];
    wrong["track"] = tensor<float>(DType::Float32, {1, 2, 3});
    CHECK_THROWS(stream->run(wrong), vpp::UsageError, "input track is float32 [3]; give float32 [2]");
    wrong.erase("track");
    CHECK_THROWS(stream->run(wrong), vpp::UsageError, "input track is missing; give float32 [2]");
    CHECK_THROWS(stream->prefetch({{"noise", fed[0].at("frame")}}), vpp::UsageError, "the graphs have no input noise");
    CHECK_THROWS(stream->prefetch({{"frame", fed[0].at("track")}}), vpp::UsageError, "input frame is float32 [2]");
    CHECK(bench.device->log.size() == calls);
    check(*stream, 1, kFrames);
}

void graphs_that_disagree_about_an_input_are_refused() {
    vpp::Manifest two = manifest();
    two.step.inputs[0].shape = {5};
    const auto device = std::make_shared<RecordingDevice>();
    const auto create = [&device](GraphRole phase) {
        return std::make_unique<RecordingContext>(device, phase, compute);
    };
    CHECK_THROWS(vpp::DeviceStream(two, device, create), vpp::BundleError,
                 "input frame is uint8 [4] in the init graph and uint8 [5] in the step graph");
}

}  // namespace

int main() {
    a_stream_on_a_device_computes_the_same();
    state_stays_on_the_device_and_swaps_every_frame();
    two_graphs_are_captured_each_after_a_warm_up();
    what_cannot_be_captured_runs_without_and_says_so_once();
    prefetched_inputs_go_up_on_a_queue_of_their_own();
    what_was_prefetched_in_vain_is_not_used();
    a_stream_that_ends_waits_for_its_uploads();
    reset_starts_anew_and_keeps_the_graphs();
    for (std::size_t split = 0; split < kFrames; ++split) {
        a_snapshot_continues_on_any_stream(split, kFrames);
        a_snapshot_continues_on_any_stream(split, kFrames - 1);
    }
    a_snapshot_of_another_model_is_refused_and_changes_nothing();
    streams_over_one_engine_do_not_meet();
    inputs_that_do_not_fit_are_refused_before_anything_is_queued();
    graphs_that_disagree_about_an_input_are_refused();
    return vpp::test::failures();
}
