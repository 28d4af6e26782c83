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
    tracks_that_do_not_fit_are_counted();
    a_stream_of_another_bundle_is_refused();
    graphs_that_a_session_cannot_run_are_refused();
    return vpp::test::failures();
}
