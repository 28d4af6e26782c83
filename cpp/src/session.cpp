#include "vpp/session.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <string>
#include <utility>

#include "session_contract.hpp"
#include "vpp/detections.hpp"
#include "vpp/error.hpp"
#include "vpp/letterbox.hpp"

namespace vpp {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_between(Clock::time_point begin, Clock::time_point end) {
    return std::chrono::duration<double>(end - begin).count();
}

void check_outputs(const GraphSpec& graph, const Tensors& outputs) {
    for (const TensorSpec& spec : graph.outputs) {
        const auto found = outputs.find(spec.name);
        if (found == outputs.end() || found->second.dtype() != spec.dtype || found->second.shape() != spec.shape) {
            throw UsageError("the stream gave no output " + spec.name + " of " + describe(spec.dtype, spec.shape) +
                             "; give a session a new stream of its own bundle");
        }
    }
}

[[noreturn]] void refuse_numbers(std::int64_t frame, const std::string& output, const std::string& problem) {
    throw DeviceError("frame " + std::to_string(frame) + ": the engine gives " + output + " " + problem +
                      "; compare it with `vpp-deploy parity`");
}

bool all_finite(const Tensor& tensor) {
    if (tensor.dtype() != DType::Float32) {
        return true;
    }
    for (std::size_t at = 0; at < tensor.bytes(); at += sizeof(float)) {  // in place: masks are megabytes a frame
        float value = 0;
        std::memcpy(&value, tensor.data() + at, sizeof value);
        if (!std::isfinite(value)) {
            return false;
        }
    }
    return true;
}

/// Nothing can be made of NaN, infinity, or positions that there are not.
void check_numbers(const Manifest& manifest, const Tensors& outputs, std::int64_t frame) {
    for (const auto& [name, tensor] : outputs) {
        if (!all_finite(tensor)) {
            refuse_numbers(frame, name, "with NaN or infinity");
        }
    }
    const auto check_positions = [&](const std::string& name, std::int64_t count) {
        for (const std::int32_t value : outputs.at(name).values<std::int32_t>()) {
            if (value < 0 || value >= count) {
                refuse_numbers(frame, name, std::to_string(value) + ", and there are " + std::to_string(count));
            }
        }
    };
    check_positions("query_indices", manifest.detection.num_queries + manifest.detection.max_tracks);
    for (const PruningPoint& point : manifest.pruning_points) {
        if (outputs.count(point.output) != 0) {
            check_positions(point.output, manifest.token_grid.height * manifest.token_grid.width);
        }
    }
}

/// Equal for bundles of the same graphs and weights; empty for a manifest that was not read from a bundle.
std::string fingerprint(const Manifest& manifest) {
    std::string hashes;
    for (const std::string& name : {manifest.weights_file, manifest.init.file, manifest.step.file}) {
        if (const auto file = manifest.files.find(name); file != manifest.files.end()) {
            hashes += file->second.sha256;
        }
    }
    return hashes;
}

/// @throws UsageError a session of this bundle cannot continue from the snapshot.
void check_snapshot(const Manifest& manifest, const SessionState& state) {
    const char* problem = nullptr;
    if (!state.bundle.empty() && state.bundle != fingerprint(manifest)) {
        problem = "it was taken from another bundle";
    } else if (state.frames < 0 || (state.frames > 0) != (state.stream.phase == GraphRole::Step)) {
        problem = "its number of frames and its phase contradict each other";
    } else if (!std::all_of(state.stream.tensors.begin(), state.stream.tensors.end(),
                            [](const auto& item) { return all_finite(item.second); })) {
        problem = "its state holds NaN or infinity";
    }
    for (const Track& track : state.tracker.tracks) {
        if (track.last_seen < 0 || track.learned_query < 0 || track.learned_query >= manifest.detection.num_queries ||
            !std::all_of(
                track.feature.begin(), track.feature.end(), [](float value) { return std::isfinite(value); })) {
            problem = "its tracks hold numbers that no video leads to";
        }
    }
    if (problem != nullptr) {
        throw UsageError(std::string("snapshot: ") + problem + "; restore what snapshot() gave");
    }
}

/// The positions of the values below `limit`.
std::vector<std::size_t> positions_below(const std::vector<std::int32_t>& values, std::int64_t limit) {
    std::vector<std::size_t> positions;
    for (std::size_t n = 0; n < values.size(); ++n) {
        if (values[n] < limit) {
            positions.push_back(n);
        }
    }
    return positions;
}

/// The elements of some rows of an output; every row has a candidate's index in `query_indices`.
template <class Element>
std::vector<Element> rows_of(const Tensor& tensor, const std::vector<std::size_t>& rows) {
    const std::vector<Element> all = tensor.values<Element>();
    const std::size_t length = all.size() / static_cast<std::size_t>(tensor.shape()[0]);
    std::vector<Element> elements;
    elements.reserve(rows.size() * length);
    for (const std::size_t row : rows) {
        const auto first = all.begin() + static_cast<std::ptrdiff_t>(row * length);
        elements.insert(elements.end(), first, first + static_cast<std::ptrdiff_t>(length));
    }
    return elements;
}

}  // namespace

Session::Session(const Manifest& manifest, std::unique_ptr<EngineStream> stream, std::size_t max_memory)
    : manifest_(manifest),
      stream_(std::move(stream)),
      tracker_(manifest.tracker, manifest.detection.num_queries, manifest.detection.query_width) {
    check_memory(manifest_, max_memory);
    check_session_contract(manifest_);
}

Frame Session::frame(const std::uint8_t* rgb, Size original) const {
    auto [image, content] = letterbox(rgb, original, manifest_.frame_size);
    const auto [height, width] = manifest_.frame_size;
    return {std::make_shared<Tensor>(DType::UInt8, Shape{height, width, 3}, std::move(image)), content, original};
}

FrameResult Session::step(const Frame& frame) {
    const auto begin = Clock::now();
    const TrackFeed feed = tracker_.feed(static_cast<std::size_t>(manifest_.detection.max_tracks));
    const SharedTensors inputs = prepare(frame, feed);
    const auto prepared = Clock::now();
    const Tensors outputs = stream_->run(inputs);
    check_outputs(manifest_.graph(frames_ == 0 ? GraphRole::Init : GraphRole::Step), outputs);
    check_numbers(manifest_, outputs, frames_);
    const auto ran = Clock::now();
    FrameResult result = complete(frame, feed, outputs);
    result.seconds = {{"engine", seconds_between(prepared, ran)},
                      {"host", seconds_between(begin, prepared) + seconds_between(ran, Clock::now())}};
    return result;
}

void Session::prefetch(const Frame& frame) {
    stream_->prefetch({{"frame", frame.image}});
}

void Session::reset() {
    stream_->reset();
    tracker_.reset();
    frames_ = 0;
}

SessionState Session::snapshot() {
    return {stream_->snapshot(), tracker_.snapshot(), frames_, fingerprint(manifest_)};
}

void Session::restore(const SessionState& state) {
    QueryTracker tracker = tracker_;
    tracker.restore(state.tracker);
    check_snapshot(manifest_, state);
    stream_->restore(state.stream);
    tracker_ = std::move(tracker);
    frames_ = state.frames;
}

/// The graph inputs for a frame: pixels, geometry and track queries.
SharedTensors Session::prepare(const Frame& frame, const TrackFeed& feed) const {
    const auto [slots, width] = std::pair(manifest_.detection.max_tracks, manifest_.detection.query_width);
    auto content_size = std::make_shared<Tensor>(DType::Int32, Shape{2});
    content_size->assign<std::int32_t>(
        {static_cast<std::int32_t>(frame.content.height), static_cast<std::int32_t>(frame.content.width)});
    auto queries = std::make_shared<Tensor>(DType::Float32, Shape{slots, width});
    queries->assign(feed.features);
    auto valid = std::make_shared<Tensor>(DType::Bool, Shape{slots});
    std::fill_n(valid->data(), feed.identities.size(), std::uint8_t{1});
    return {{"frame", frame.image}, {"content_size", content_size}, {"track_queries", queries}, {"track_valid", valid}};
}

/// Track the detections in the graph's outputs.
FrameResult Session::complete(const Frame& frame, const TrackFeed& feed, const Tensors& outputs) {
    const std::vector<std::int32_t> indices = outputs.at("query_indices").values<std::int32_t>();
    const std::int64_t filled = manifest_.detection.num_queries + static_cast<std::int64_t>(feed.identities.size());
    const auto rows = positions_below(indices, filled);  // empty track slots come along to fill the output

    const Tensor& class_logits = outputs.at("class_logits");
    const Tensor& mask_logits = outputs.at("mask_logits");
    const auto classes = rows_of<float>(class_logits, rows);
    const auto masks = rows_of<float>(mask_logits, rows);
    const auto queries = rows_of<std::int32_t>(outputs.at("query_indices"), rows);
    const auto features = rows_of<float>(outputs.at("query_features"), rows);
    std::vector<float> score_floor;
    for (const std::int32_t query : queries) {
        score_floor.push_back(tracker_.score_floor(query));
    }
    const Candidates candidates{static_cast<std::int64_t>(rows.size()),
                                class_logits.shape()[1] - 1,
                                {mask_logits.shape()[1], mask_logits.shape()[2]},
                                classes.data(),
                                masks.data(),
                                queries.data()};
    const std::vector<Detection> detections =
        decode_detections(candidates, {manifest_.frame_size, frame.content, frame.original}, filled, score_floor);

    FrameResult result;
    result.instances = tracker_.update(frames_, detections, features.data());
    result.index = frames_++;
    result.original_size = frame.original;
    for (const PruningPoint& point : manifest_.pruning_points) {
        if (const auto kept = outputs.find(point.output); kept != outputs.end()) {
            result.kept.push_back({point.name, kept->second.values<std::int32_t>()});
        }
    }
    result.grid = manifest_.token_grid;
    const std::int64_t wanted = outputs.at("candidates").values<std::int32_t>()[0];
    result.candidates_dropped = std::max<std::int64_t>(0, wanted - static_cast<std::int64_t>(indices.size()));
    result.tracks_not_fed = static_cast<std::int64_t>(feed.not_fed);
    return result;
}

}  // namespace vpp
