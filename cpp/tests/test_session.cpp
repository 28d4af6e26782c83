#include <cmath>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "check.hpp"
#include "tiny_video_model.hpp"
#include "vpp/error.hpp"
#include "vpp/session.hpp"

namespace {

using vpp::test::BlindStream;
using vpp::test::tiny_video_manifest;

void frames_are_counted_until_a_reset() {
    vpp::Session session(tiny_video_manifest(), std::make_unique<BlindStream>(tiny_video_manifest()));
    const std::vector<std::uint8_t> picture(8 * 8 * 3);
    const vpp::FrameResult first = session.step(picture.data(), {8, 8});
    CHECK(first.index == 0 && first.original_size == (vpp::Size{8, 8}) && first.kept.empty());
    CHECK(first.instances.empty() && first.seconds.count("engine") == 1 && first.seconds.count("host") == 1);
    const vpp::FrameResult second = session.step(picture.data(), {8, 8});
    CHECK(second.index == 1 && second.kept.size() == 1 && second.kept[0].positions.size() == 3);
    session.reset();
    CHECK(session.step(picture.data(), {8, 8}).index == 0);
    CHECK_THROWS(session.step(picture.data(), {0, 8}), vpp::UsageError, "0 x 8 pixels");
}

void a_snapshot_that_contradicts_itself_changes_nothing() {
    vpp::Session session(tiny_video_manifest(), std::make_unique<BlindStream>(tiny_video_manifest()));
    const std::vector<std::uint8_t> picture(4 * 6 * 3);
    session.step(picture.data(), {4, 6});
    vpp::SessionState state = session.snapshot();
    state.tracker.fed = {7};
    state.stream.phase = vpp::GraphRole::Init;
    CHECK_THROWS(session.restore(state), vpp::UsageError, "track 7 was fed but is not in memory");
    CHECK(session.step(picture.data(), {4, 6}).index == 1);
}

void a_snapshot_of_something_else_changes_nothing() {
    vpp::Manifest manifest = tiny_video_manifest();
    manifest.weights_file = "weights";
    manifest.files["weights"] = {1, "a"};
    vpp::Session session(manifest, std::make_unique<BlindStream>(manifest));
    const std::vector<std::uint8_t> picture(4 * 6 * 3);
    session.step(picture.data(), {4, 6});
    const vpp::SessionState good = session.snapshot();
    const auto refused = [&](const std::function<void(vpp::SessionState&)>& change, const std::string& words) {
        vpp::SessionState state = good;
        change(state);
        CHECK_THROWS(session.restore(state), vpp::UsageError, words);
    };
    refused([](vpp::SessionState& state) { state.bundle = "b"; }, "it was taken from another bundle");
    refused([](vpp::SessionState& state) { state.frames = -1; }, "contradict each other");
    refused([](vpp::SessionState& state) { state.frames = 0; }, "contradict each other");
    refused([](vpp::SessionState& state) { state.tracker = {{{0, {1, NAN}, 0, 0}}, 1, {}}; }, "no video leads to");
    refused([](vpp::SessionState& state) { state.tracker = {{{0, {1, 2}, 2, 0}}, 1, {}}; }, "no video leads to");
    refused([](vpp::SessionState& state) { state.tracker = {{{0, {1, 2}, 0, -1}}, 1, {}}; }, "no video leads to");
    session.restore(good);
    CHECK(session.step(picture.data(), {4, 6}).index == 1);
}

/// A stream that puts one number where another belongs.
class LyingStream final : public vpp::EngineStream {
  public:
    LyingStream(std::string output, float value) : output_(std::move(output)), value_(value) {}

    vpp::Tensors run(const vpp::SharedTensors& inputs) override {
        vpp::Tensors outputs = blind_.run(inputs);
        vpp::Tensor& tensor = outputs.at(output_);
        if (tensor.dtype() == vpp::DType::Float32) {
            std::vector<float> values = tensor.values<float>();
            values.back() = value_;
            tensor.assign(values);
        } else {
            std::vector<std::int32_t> values = tensor.values<std::int32_t>();
            values.back() = static_cast<std::int32_t>(value_);
            tensor.assign(values);
        }
        return outputs;
    }
    void prefetch(const vpp::SharedTensors&) override {}
    void reset() override {}
    vpp::StreamState snapshot() override { return {}; }
    void restore(const vpp::StreamState&) override {}

  private:
    BlindStream blind_{tiny_video_manifest()};
    std::string output_;
    float value_;
};

void numbers_that_no_result_can_be_made_of() {
    const std::vector<std::uint8_t> picture(4 * 6 * 3);
    const auto refused = [&picture](const std::string& output, float value, const std::string& words) {
        vpp::Session session(tiny_video_manifest(), std::make_unique<LyingStream>(output, value));
        CHECK_THROWS(session.step(picture.data(), {4, 6}), vpp::DeviceError, words);
    };
    refused("class_logits", NAN, "frame 0: the engine gives class_logits with NaN or infinity");
    refused("mask_logits", INFINITY, "mask_logits with NaN");
    refused("query_features", -INFINITY, "query_features with NaN");
    refused("query_indices", -1, "query_indices -1, and there are 3");
    refused("query_indices", 3, "query_indices 3, and there are 3");
}

void sizes_that_only_cost_memory() {
    vpp::Manifest manifest = tiny_video_manifest();
    manifest.detection.max_tracks = INT32_MAX;
    manifest.detection.query_width = INT32_MAX;
    CHECK_THROWS(vpp::Session(manifest, std::make_unique<BlindStream>(manifest)), vpp::BundleError,
                 "MB that are allowed: if you trust it, allow more");
    manifest = tiny_video_manifest();
    manifest.frame_size = {40000, 40000};
    CHECK_THROWS(vpp::Session(manifest, std::make_unique<BlindStream>(manifest)), vpp::BundleError,
                 "a frame of 40000x40000 pixels would take 4800 MB of memory, more than the 2000 MB");
    manifest = tiny_video_manifest();
    CHECK_THROWS(vpp::Session(manifest, std::make_unique<BlindStream>(manifest), 100), vpp::BundleError, "0 MB");
}

void tracks_that_do_not_fit_are_counted() {
    vpp::Session session(tiny_video_manifest(), std::make_unique<BlindStream>(tiny_video_manifest()));
    session.restore({{}, {{{0, {1, 2}, 0, 0}, {1, {3, 4}, 1, 0}}, 2, {}}, 0});
    const std::vector<std::uint8_t> picture(4 * 6 * 3);
    CHECK(session.step(picture.data(), {4, 6}).tracks_not_fed == 1);
}

void a_stream_of_another_bundle_is_refused() {
    vpp::Manifest other = tiny_video_manifest();
    other.init.outputs[1].shape = {2, 2, 2};
    vpp::Session session(tiny_video_manifest(), std::make_unique<BlindStream>(other));
    const std::vector<std::uint8_t> picture(4 * 6 * 3);
    CHECK_THROWS(session.step(picture.data(), {4, 6}), vpp::UsageError,
                 "no output mask_logits of float32 [2, 2, 3]; give a session a new stream of its own bundle");
}

template <class Error>
void refused(const std::function<void(vpp::Manifest&)>& change, const std::string& words) {
    vpp::Manifest manifest = tiny_video_manifest();
    change(manifest);
    CHECK_THROWS(vpp::Session(manifest, std::make_unique<BlindStream>(manifest)), Error, words);
}

void graphs_that_a_session_cannot_run_are_refused() {
    using vpp::Manifest;
    refused<vpp::UsageError>(
        [](Manifest& manifest) { manifest.init.inputs.push_back({"selection_noise", vpp::DType::Float32, {4, 6, 2}}); },
        "tiny takes selection noise, which only the Python package makes; export a bundle without it");
    refused<vpp::BundleError>([](Manifest& manifest) { manifest.step.inputs[0].name = "picture"; },
                              "the step graph has the input 'picture'");
    refused<vpp::BundleError>([](Manifest& manifest) { manifest.step.inputs[2].shape = {2, 2}; },
                              "the step graph has track_queries as float32 [2, 2] instead of float32 [1, 2]");
    refused<vpp::BundleError>([](Manifest& manifest) { manifest.init.outputs[3].dtype = vpp::DType::Float32; },
                              "the init graph has query_indices as float32 [2] instead of int32 [2]");
    refused<vpp::BundleError>([](Manifest& manifest) { manifest.init.outputs.erase(manifest.init.outputs.begin()); },
                              "the init graph has no output class_logits");
    refused<vpp::BundleError>([](Manifest& manifest) { manifest.init.outputs[1].shape = {2, 6}; },
                              "float32 [2, 6] mask_logits");
    refused<vpp::BundleError>([](Manifest& manifest) { manifest.step.outputs.pop_back(); },
                              "the step graph has no output kept");
}

}  // namespace

int main() {
    frames_are_counted_until_a_reset();
    a_snapshot_that_contradicts_itself_changes_nothing();
    a_snapshot_of_something_else_changes_nothing();
    numbers_that_no_result_can_be_made_of();
    sizes_that_only_cost_memory();
    tracks_that_do_not_fit_are_counted();
    a_stream_of_another_bundle_is_refused();
    graphs_that_a_session_cannot_run_are_refused();
    return vpp::test::failures();
}
