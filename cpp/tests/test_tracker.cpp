#include <memory>
#include <vector>

#include "check.hpp"
#include "vpp/error.hpp"
#include "vpp/tracker.hpp"

namespace {

constexpr std::int64_t kQueries = 8;
constexpr std::int64_t kWidth = 2;
constexpr vpp::Size kSize{4, 10};

/// A detection whose mask fills columns `start` to `stop`; its feature is in row 0.
vpp::Detection detect(std::int64_t query_index, float score, std::int64_t start, std::int64_t stop) {
    auto mask = std::make_shared<vpp::Mask>(vpp::Mask{kSize, std::vector<std::uint8_t>(40)});
    for (std::int64_t y = 0; y < kSize.height; ++y) {
        std::fill(mask->row(y) + start, mask->row(y) + stop, std::uint8_t{1});
    }
    return {query_index, 0, 0, score, vpp::tight_box(*mask), mask};
}

void a_track_keeps_its_number_and_its_feature_while_it_is_doubtful() {
    vpp::QueryTracker tracker({}, kQueries, kWidth);
    const float first[] = {1, 2};
    CHECK(tracker.update(0, {detect(3, 0.9F, 0, 5)}, first).at(0).identity == 0);
    const vpp::TrackFeed feed = tracker.feed();
    CHECK((feed.features == std::vector<float>{1, 2}));
    const float second[] = {3, 4};
    CHECK(tracker.update(1, {detect(kQueries, 0.28F, 0, 5)}, second).at(0).identity == 0);
    CHECK((tracker.feed().features == std::vector<float>{1, 2}));
    CHECK(tracker.snapshot().tracks.at(0).last_seen == 1);
}

void an_empty_slot_is_refused_and_changes_nothing() {
    vpp::QueryTracker tracker({}, kQueries, kWidth);
    const float feature[] = {1, 2};
    tracker.update(0, {detect(3, 0.9F, 0, 5)}, feature);
    tracker.feed();
    CHECK_THROWS(tracker.update(1, {detect(kQueries + 1, 0.9F, 0, 5), detect(1, 0.9F, 5, 9)}, feature), vpp::UsageError,
                 "track slot 1, but the last feed filled 1; call feed first");
    CHECK(tracker.snapshot().next_identity == 1);
    CHECK(tracker.snapshot().fed.size() == 1);
}

void a_state_that_contradicts_itself_is_refused() {
    vpp::QueryTracker tracker({}, kQueries, kWidth);
    const auto state = [](std::int64_t identity, std::vector<float> feature, std::vector<std::int64_t> fed) {
        return vpp::TrackerState{{{identity, std::move(feature), 0, 0}}, 5, std::move(fed)};
    };
    CHECK_THROWS(tracker.restore(state(0, {1, 2, 3}, {})), vpp::UsageError, "feature of width 3, this model's have 2");
    CHECK_THROWS(tracker.restore(state(5, {1, 2}, {})), vpp::UsageError, "track 5 is out of order");
    CHECK_THROWS(tracker.restore(state(1, {1, 2}, {2})), vpp::UsageError, "track 2 was fed but is not in memory");
    CHECK(tracker.snapshot().tracks.empty());
    tracker.restore(state(1, {1, 2}, {1}));
    CHECK(tracker.snapshot().tracks.size() == 1);
}

}  // namespace

int main() {
    a_track_keeps_its_number_and_its_feature_while_it_is_doubtful();
    an_empty_slot_is_refused_and_changes_nothing();
    a_state_that_contradicts_itself_is_refused();
    return vpp::test::failures();
}
