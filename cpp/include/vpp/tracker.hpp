#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "vpp/detections.hpp"
#include "vpp/manifest.hpp"
#include "vpp/results.hpp"

namespace vpp {

/// The track queries for the next frame; row k goes into track slot k.
struct TrackFeed {
    std::vector<float> features;           ///< `[n, F]` query features, in order of the tracks' first appearance
    std::vector<std::int64_t> identities;  ///< `[n]` the tracks they belong to
    std::size_t not_fed;                   ///< tracks in memory that did not fit
};

/// What a tracker remembers about one track.
struct Track {
    std::int64_t identity;
    std::vector<float> feature;  ///< `[F]` the query feature that is fed back
    std::int64_t learned_query;  ///< index of the learned query that started the track
    std::int64_t last_seen;      ///< index of the frame in which the track was last put out
};

/// Everything a tracker remembers.
struct TrackerState {
    std::vector<Track> tracks;       ///< by ascending identity, which is also the order of first appearance
    std::int64_t next_identity = 0;  ///< the number of the next new track
    std::vector<std::int64_t> fed;   ///< identities in the track slots of the last feed; empty once a frame has used it
};

/// Gives the detections of one video their identities, frame by frame (VPP, tracker rules 1 to 8).
///
/// For every frame call `feed`, run the model with the track queries it returns, then call `update`. Start every video
/// with a new tracker or with `reset`. Not thread-safe.
class QueryTracker {
  public:
    /// @param spec the tracker's constants.
    /// @param num_queries learned queries of the detector; a query index from here on is an existing track.
    /// @param query_width channels F of a query feature.
    QueryTracker(const TrackerSpec& spec, std::int64_t num_queries, std::int64_t query_width);

    /// Forget every track and count from 0 again: the next frame is the first of a new video.
    void reset();

    /// The present state. Later frames do not change it.
    const TrackerState& snapshot() const { return state_; }

    /// Continue from a snapshot of this or of another tracker of the same model.
    ///
    /// @throws UsageError the state is of another model, or contradicts itself. The tracker keeps its own.
    void restore(TrackerState state);

    /// The track queries for the next frame (rule 8).
    ///
    /// @param capacity track slots of the model; none: unlimited. If the memory holds more tracks, the most recently
    /// seen
    ///     ones are fed; of those last seen in the same frame, the ones that appeared first.
    TrackFeed feed(std::optional<std::size_t> capacity = std::nullopt);

    /// The score that a detection of a query must exceed (rule 1).
    float score_floor(std::int64_t query_index) const;

    /// The positions of the detections with a sufficient score, in descending order of score (rule 1).
    std::vector<std::size_t> confident(const std::vector<Detection>& detections) const;

    /// Identify the objects of one frame and remember them.
    ///
    /// @param frame_index position of the frame in the stream; ages are counted in it.
    /// @param detections the frame's detections, unfiltered, in any order. Query index `num_queries + k` is the track
    /// in
    ///     slot k of the last `feed`.
    /// @param query_features `[M, F]` the candidates' query features; `Detection::row` points into them.
    /// @returns existing tracks first, then new ones, each in descending order of score.
    /// @throws UsageError a detection belongs to a track slot that the last feed left empty. Nothing has changed then.
    std::vector<Instance> update(std::int64_t frame_index, const std::vector<Detection>& detections,
                                 const float* query_features);

  private:
    bool is_track(const Detection& detection) const { return detection.query_index >= num_queries_; }
    void check_slots(const std::vector<const Detection*>& tracked) const;
    std::int64_t fed_identity(const Detection& detection) const;
    void remember(std::int64_t frame_index, const Detection& detection, std::int64_t identity, const float* feature);
    void forget_old_tracks(std::int64_t frame_index);

    TrackerSpec spec_;
    std::int64_t num_queries_;
    std::int64_t query_width_;
    TrackerState state_;
};

}  // namespace vpp
