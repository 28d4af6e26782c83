#include "vpp/tracker.hpp"

#include <algorithm>
#include <numeric>
#include <string>
#include <utility>

#include "vpp/error.hpp"
#include "vpp/suppression.hpp"

namespace vpp {
namespace {

/// The track of an identity, or the end of `tracks`.
template <class Tracks>
auto find_track(Tracks& tracks, std::int64_t identity) {
    const auto at = std::partition_point(tracks.begin(), tracks.end(),
                                         [identity](const Track& track) { return track.identity < identity; });
    return at != tracks.end() && at->identity == identity ? at : tracks.end();
}

std::vector<const Mask*> masks_of(const std::vector<const Detection*>& detections) {
    std::vector<const Mask*> masks;
    for (const Detection* detection : detections) {
        masks.push_back(detection->mask.get());
    }
    return masks;
}

/// The elements of `values` at `positions`.
template <class Value>
std::vector<Value> take(const std::vector<Value>& values, const std::vector<std::size_t>& positions) {
    std::vector<Value> taken;
    for (const std::size_t position : positions) {
        taken.push_back(values[position]);
    }
    return taken;
}

}  // namespace

QueryTracker::QueryTracker(const TrackerSpec& spec, std::int64_t num_queries, std::int64_t query_width)
    : spec_(spec), num_queries_(num_queries), query_width_(query_width) {}

void QueryTracker::reset() {
    state_ = TrackerState{};
}

void QueryTracker::restore(TrackerState state) {
    std::int64_t previous = -1;
    for (const Track& track : state.tracks) {
        if (static_cast<std::int64_t>(track.feature.size()) != query_width_) {
            throw UsageError("tracker state: track " + std::to_string(track.identity) + " has a feature of width " +
                             std::to_string(track.feature.size()) + ", this model's have " +
                             std::to_string(query_width_) + "; restore a state of the same model");
        }
        if (track.identity <= previous || track.identity >= state.next_identity) {
            throw UsageError("tracker state: track " + std::to_string(track.identity) +
                             " is out of order; restore what snapshot() gave");
        }
        previous = track.identity;
    }
    for (const std::int64_t identity : state.fed) {
        if (find_track(state.tracks, identity) == state.tracks.end()) {
            throw UsageError("tracker state: track " + std::to_string(identity) +
                             " was fed but is not in memory; restore what snapshot() gave");
        }
    }
    state_ = std::move(state);
}

TrackFeed QueryTracker::feed(std::optional<std::size_t> capacity) {
    const std::vector<Track>& tracks = state_.tracks;
    std::vector<std::size_t> chosen(tracks.size());
    std::iota(chosen.begin(), chosen.end(), std::size_t{0});
    if (capacity && *capacity < chosen.size()) {
        std::stable_sort(chosen.begin(), chosen.end(),
                         [&tracks](std::size_t a, std::size_t b) { return tracks[a].last_seen > tracks[b].last_seen; });
        chosen.resize(*capacity);
        std::sort(chosen.begin(), chosen.end());
    }
    TrackFeed feed{{}, {}, tracks.size() - chosen.size()};
    for (const std::size_t position : chosen) {
        const Track& track = tracks[position];
        feed.features.insert(feed.features.end(), track.feature.begin(), track.feature.end());
        feed.identities.push_back(track.identity);
    }
    state_.fed = feed.identities;
    return feed;
}

float QueryTracker::score_floor(std::int64_t query_index) const {
    return static_cast<float>(query_index >= num_queries_ ? spec_.track_score : spec_.new_score);
}

std::vector<std::size_t> QueryTracker::confident(const std::vector<Detection>& detections) const {
    std::vector<std::size_t> positions;
    for (std::size_t n = 0; n < detections.size(); ++n) {
        if (detections[n].score > score_floor(detections[n].query_index)) {
            positions.push_back(n);
        }
    }
    std::stable_sort(positions.begin(), positions.end(),
                     [&detections](std::size_t a, std::size_t b) { return detections[a].score > detections[b].score; });
    return positions;
}

std::vector<Instance> QueryTracker::update(std::int64_t frame_index, const std::vector<Detection>& detections,
                                           const float* query_features) {
    std::vector<const Detection*> tracked;
    std::vector<const Detection*> created;
    for (const std::size_t position : confident(detections)) {
        const Detection& detection = detections[position];
        (is_track(detection) ? tracked : created).push_back(&detection);
    }
    check_slots(tracked);
    std::vector<std::int64_t> identities;
    tracked = take(tracked, unsuppressed(masks_of(tracked), spec_.existing_iou));  // rule 3
    for (const Detection* detection : tracked) {
        identities.push_back(fed_identity(*detection));
    }
    for (std::size_t n = 0; n < created.size(); ++n) {  // rule 5: numbered before suppression
        identities.push_back(state_.next_identity + static_cast<std::int64_t>(n));
    }
    std::vector<const Detection*> candidates = tracked;
    candidates.insert(candidates.end(), created.begin(), created.end());

    std::vector<Instance> instances;
    for (const std::size_t n : unsuppressed(masks_of(candidates), spec_.new_iou, tracked.size())) {  // rule 6
        const Detection& detection = *candidates[n];
        remember(frame_index, detection, identities[n], query_features + detection.row * query_width_);
        instances.push_back({identities[n], detection.label, detection.score, detection.box, detection.mask});
    }
    if (!instances.empty()) {  // rule 2: a frame without detections changes nothing
        forget_old_tracks(frame_index);
    }
    state_.next_identity += static_cast<std::int64_t>(created.size());
    state_.fed.clear();
    return instances;
}

void QueryTracker::check_slots(const std::vector<const Detection*>& tracked) const {
    const auto filled = static_cast<std::int64_t>(state_.fed.size());
    for (const Detection* detection : tracked) {
        if (const std::int64_t slot = detection->query_index - num_queries_; slot >= filled) {
            throw UsageError("detection of track slot " + std::to_string(slot) + ", but the last feed filled " +
                             std::to_string(filled) + "; call feed first");
        }
    }
}

std::int64_t QueryTracker::fed_identity(const Detection& detection) const {
    return state_.fed[static_cast<std::size_t>(detection.query_index - num_queries_)];
}

/// Rule 4: a doubtful track keeps the feature that was fed in.
void QueryTracker::remember(std::int64_t frame_index, const Detection& detection, std::int64_t identity,
                            const float* feature) {
    if (identity >= state_.next_identity) {
        state_.tracks.push_back({identity, {feature, feature + query_width_}, detection.query_index, frame_index});
        return;
    }
    Track& track = *find_track(state_.tracks, identity);
    track.last_seen = frame_index;
    if (detection.score >= static_cast<float>(spec_.low_score)) {
        track.feature.assign(feature, feature + query_width_);
    }
}

/// Rule 8.
void QueryTracker::forget_old_tracks(std::int64_t frame_index) {
    auto& tracks = state_.tracks;
    tracks.erase(std::remove_if(tracks.begin(), tracks.end(),
                                [&](const Track& track) { return frame_index - track.last_seen >= spec_.max_age; }),
                 tracks.end());
}

}  // namespace vpp
