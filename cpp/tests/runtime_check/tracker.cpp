#include "vpp/tracker.hpp"

#include <map>
#include <string>

#include "candidates.hpp"
#include "instances.hpp"

namespace vpp::check {
namespace {

TrackerSpec spec_of(const Json& input) {
    return {input.at("new_score"),    input.at("track_score"), input.at("low_score"),
            input.at("existing_iou"), input.at("new_iou"),     input.at("max_age")};
}

/// Detections given as arrays, as the Python class has them.
std::vector<Detection> detections_of(const Json& input, const ArrayFile& arrays) {
    const auto query_indices = arrays.read<std::int64_t>(input.at("query_indices"));
    const auto rows = arrays.read<std::int64_t>(input.at("rows"));
    const auto labels = arrays.read<std::int64_t>(input.at("labels"));
    const auto scores = arrays.read<float>(input.at("scores"));
    const auto boxes = arrays.read<float>(input.at("boxes"));
    const auto masks = arrays.read<std::uint8_t>(input.at("masks"));
    const Json& shape = input.at("masks").at("shape");
    const Size size{shape.at(1), shape.at(2)};
    std::vector<Detection> detections;
    for (std::size_t n = 0; n < scores.size(); ++n) {
        const auto first = masks.begin() + static_cast<std::ptrdiff_t>(n) * size.area();
        const auto side = [&boxes, n](std::size_t m) { return static_cast<std::int64_t>(boxes[4 * n + m]); };
        detections.push_back({query_indices[n],
                              rows[n],
                              labels[n],
                              scores[n],
                              {side(0), side(1), side(2), side(3)},
                              std::make_shared<Mask>(Mask{size, {first, first + size.area()}})});
    }
    return detections;
}

Json feed_json(const TrackFeed& feed, std::int64_t width, ArrayFile& results) {
    return {{"identities", feed.identities},
            {"not_fed", feed.not_fed},
            {"features", results.append(feed.features, {static_cast<std::int64_t>(feed.identities.size()), width})}};
}

Json state_json(const TrackerState& state, std::int64_t width, ArrayFile& results) {
    Json json{{"next_identity", state.next_identity},
              {"fed", state.fed},
              {"identities", Json::array()},
              {"learned_queries", Json::array()},
              {"last_seen", Json::array()}};
    std::vector<float> features;
    for (const Track& track : state.tracks) {
        json["identities"].push_back(track.identity);
        json["learned_queries"].push_back(track.learned_query);
        json["last_seen"].push_back(track.last_seen);
        features.insert(features.end(), track.feature.begin(), track.feature.end());
    }
    json["features"] = results.append(features, {static_cast<std::int64_t>(state.tracks.size()), width});
    return json;
}

/// Detections from candidates, with the tracker's score floors, as a session decodes them.
std::vector<Detection> decode(const QueryTracker& tracker, const Json& input, const ArrayFile& arrays) {
    const CandidateArrays candidates(input, arrays);
    std::vector<float> floors;
    for (const std::int32_t query_index : candidates.query_indices()) {
        floors.push_back(tracker.score_floor(query_index));
    }
    return decode_detections(candidates.view(), candidates.geometry(), input.at("max_instances"), floors);
}

}  // namespace

/// Runs the case's steps (`feed`, `update`, `snapshot`, `restore`, `reset`) on one tracker.
Json run_tracker(const Json& input, const ArrayFile& arrays, ArrayFile& results) {
    const std::int64_t width = input.at("query_width");
    QueryTracker tracker(spec_of(input.at("spec")), input.at("num_queries"), width);
    std::map<std::string, TrackerState> snapshots;
    Json outcomes = Json::array();
    for (const Json& step : input.at("steps")) {
        const auto act = step.at("step").get<std::string>();
        Json outcome = Json::object();
        if (act == "feed") {
            const Json& capacity = step.at("capacity");
            outcome = feed_json(capacity.is_null() ? tracker.feed() : tracker.feed(capacity.get<std::size_t>()), width,
                                results);
        } else if (act == "update") {
            const std::vector<Detection> detections = step.contains("candidates")
                                                          ? decode(tracker, step.at("candidates"), arrays)
                                                          : detections_of(step.at("detections"), arrays);
            const auto features = arrays.read<float>(step.at("query_features"));
            outcome["confident"] = tracker.confident(detections);
            outcome["instances"] =
                instances_json(tracker.update(step.at("frame_index"), detections, features.data()), results);
        } else if (act == "snapshot") {
            snapshots[step.at("name")] = tracker.snapshot();
        } else if (act == "restore") {
            tracker.restore(snapshots.at(step.at("name")));
        } else if (act == "reset") {
            tracker.reset();
        } else {
            throw std::runtime_error("unknown step " + act);
        }
        outcome["state"] = state_json(tracker.snapshot(), width, results);
        outcomes.push_back(outcome);
    }
    return outcomes;
}

}  // namespace vpp::check
