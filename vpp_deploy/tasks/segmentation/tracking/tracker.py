"""The query tracker: track queries to identities (VPP, "From logits to tracks", tracker rules 1 to 8)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from vpp_deploy.bundle.segmentation_manifest import TrackerSpec
from vpp_deploy.engines.stream_state import is_count, no_snapshot
from vpp_deploy.errors import UsageError
from vpp_deploy.tasks.segmentation.results import Instances
from vpp_deploy.tasks.segmentation.tracking.detections import Detections
from vpp_deploy.tasks.segmentation.tracking.suppression import Outline, unsuppressed, whole_masks

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TrackFeed:
    """The track queries for the next frame; row k goes into track slot k.

    Attributes:
        features: `[n, F]` float32 query features, in order of the tracks' first appearance.
        identities: `[n]` int64, the tracks they belong to.
        not_fed: tracks in memory that did not fit.
    """

    features: Floats
    identities: Integers
    not_fed: int


@dataclass(frozen=True, slots=True)
class TrackerState:
    """Everything a tracker remembers. Its arrays are read-only; row n of the first four is the same track.

    Attributes:
        identities: `[n]` int64 ascending, which is also the order of first appearance.
        features: `[n, F]` float32, the query feature that is fed back.
        learned_queries: `[n]` int64, index of the learned query that started the track.
        last_seen: `[n]` int64, index of the frame in which the track was last put out.
        next_identity: the number of the next new track.
        fed: `[k]` int64, the identities in the track slots of the last feed; empty once a frame has used it.
    """

    identities: Integers
    features: Floats
    learned_queries: Integers
    last_seen: Integers
    next_identity: int
    fed: Integers

    def __post_init__(self) -> None:
        for array in (self.identities, self.features, self.learned_queries, self.last_seen, self.fed):
            array.setflags(write=False)


def _within(values: Integers, limit: int) -> bool:
    """Whether all values are in [0, limit)."""
    return bool(((values >= 0) & (values < limit)).all())


class QueryTracker:
    """Gives the detections of one video their identities, frame by frame.

    For every frame call `feed`, run the model with the track queries it returns, then call `update`. Start every video
    with a new tracker or with `reset`. Not thread-safe.

    Args:
        spec: the tracker's constants.
        num_queries: learned queries of the detector; a detection with a query index from here on is an existing track.
        query_width: channels F of a query feature.
    """

    def __init__(self, spec: TrackerSpec, num_queries: int, query_width: int) -> None:
        self._spec = spec
        self._num_queries = num_queries
        self._query_width = query_width
        self.reset()

    def reset(self) -> None:
        """Forget every track and count from 0 again: the next frame is the first of a new video."""
        self._state = TrackerState(
            identities=np.zeros(0, np.int64),
            features=np.zeros((0, self._query_width), np.float32),
            learned_queries=np.zeros(0, np.int64),
            last_seen=np.zeros(0, np.int64),
            next_identity=0,
            fed=np.zeros(0, np.int64),
        )

    def snapshot(self) -> TrackerState:
        """The present state. Later frames do not change it."""
        return self._state

    def restore(self, state: TrackerState) -> None:
        """Continue from a snapshot of this or of another tracker of the same model."""
        self._state = state

    def check(self, state: TrackerState, frames: int) -> None:
        """See that a snapshot is one that a tracker of this model can have.

        Args:
            state: the snapshot.
            frames: how many frames the video had by then.

        Raises:
            UsageError: it is not.
        """
        if not isinstance(state, TrackerState) or not is_count(state.next_identity):
            raise no_snapshot(state)
        integers = (state.identities, state.learned_queries, state.last_seen, state.fed)
        if any(array.dtype != np.int64 or array.ndim != 1 for array in integers) or not (
            (count := len(state.identities)) == len(state.learned_queries) == len(state.last_seen)
        ):
            raise UsageError("snapshot: the tracks' numbers do not belong together; take another one")
        if state.features.dtype != np.float32 or state.features.shape != (count, self._query_width):
            raise UsageError(
                f"snapshot: the tracks' features are {state.features.dtype} {list(state.features.shape)} instead of "
                f"float32 {[count, self._query_width]}; take another one"
            )
        ascending = np.array_equal(state.identities, np.unique(state.identities))
        if not (
            ascending
            and np.isfinite(state.features).all()
            and _within(state.identities, state.next_identity)
            and _within(state.learned_queries, self._num_queries)
            and _within(state.last_seen, frames)
            and np.isin(state.fed, state.identities).all()
        ):
            raise UsageError("snapshot: the tracks hold numbers that no video leads to; take another one")

    def feed(self, capacity: int | None = None) -> TrackFeed:
        """The track queries for the next frame (rule 8).

        Args:
            capacity: track slots of the model; None: unlimited, as in the original. If the memory holds more tracks,
                the most recently seen ones are fed; of those last seen in the same frame, the ones that appeared first.
        """
        state = self._state
        count = len(state.identities)
        if capacity is None or count <= capacity:
            chosen = np.arange(count)
        else:
            chosen = np.sort(np.argsort(-state.last_seen, kind="stable")[:capacity])
        identities = state.identities[chosen]
        self._state = replace(state, fed=identities)
        return TrackFeed(state.features[chosen], identities, count - len(chosen))

    def score_floor(self, query_indices: npt.NDArray[np.integer]) -> Floats:
        """The score `[n]` float32 that a detection of each query `[n]` must exceed (rule 1)."""
        floors = np.where(query_indices >= self._num_queries, self._spec.track_score, self._spec.new_score)
        return floors.astype(np.float32)

    def confident(self, detections: Detections) -> Integers:
        """Indices `[k]` of the detections with a sufficient score, in descending order of score (rule 1)."""
        index = np.flatnonzero(detections.scores > self.score_floor(detections.query_indices))
        return index[np.argsort(-detections.scores[index], kind="stable")]

    def update(self, frame_index: int, detections: Detections, query_features: Floats) -> Instances:
        """Identify the objects of one frame and remember them.

        Args:
            frame_index: position of the frame in the stream; ages are counted in it.
            detections: the frame's detections, unfiltered, in any order. Query index `num_queries + k` is the track in
                slot k of the last `feed`.
            query_features: `[M, F]` float32, the candidates' query features; `detections.rows` points into them.

        Returns:
            The tracked objects: existing tracks first, then new ones, each in descending order of score.

        Raises:
            ValueError: a detection belongs to a track slot that the last feed left empty.
        """
        state, spec = self._state, self._spec
        order = self.confident(detections)
        is_track = detections.query_indices[order] >= self._num_queries
        tracked, new = order[is_track], order[~is_track]
        self._check_slots(detections.query_indices[tracked])

        outlines = {row: Outline.of(detections.masks[row]) for row in order.tolist()}
        tracked = tracked[unsuppressed([outlines[row] for row in tracked.tolist()], spec.existing_iou)]  # rule 3
        candidates = np.concatenate([tracked, new])
        numbers = np.concatenate(  # rule 5: numbered before suppression
            [
                state.fed[detections.query_indices[tracked] - self._num_queries],
                state.next_identity + np.arange(len(new)),
            ]
        )
        shapes = [outlines[row] for row in candidates.tolist()]
        kept = unsuppressed(shapes, spec.new_iou, protected=len(tracked))  # rule 6
        masks = whole_masks([shapes[n] for n in kept], detections.size)
        output, identities = detections.take(candidates[kept], masks), numbers[kept]
        if len(output):  # rule 2: a frame without detections changes nothing
            state = self._remember(frame_index, output, identities, query_features[output.rows])
        self._state = replace(state, next_identity=state.next_identity + len(new), fed=np.zeros(0, np.int64))
        return Instances(output.masks, output.boxes, output.scores, output.labels, identities)

    def _check_slots(self, query_indices: Integers) -> None:
        slots, fed = query_indices - self._num_queries, len(self._state.fed)
        if (slots >= fed).any():
            raise ValueError(f"detection of track slot {slots.max()}, but the last feed filled {fed}; call feed first")

    def _remember(self, frame_index: int, output: Detections, identities: Integers, features: Floats) -> TrackerState:
        """The memory after a frame that put out `output` (rules 4 and 8)."""
        state, spec = self._state, self._spec
        is_new = identities >= state.next_identity
        position = np.searchsorted(state.identities, identities[~is_new])
        refreshed = output.scores[~is_new] >= np.float32(spec.low_score)
        old_features, last_seen = state.features.copy(), state.last_seen.copy()
        old_features[position[refreshed]] = features[~is_new][refreshed]
        last_seen[position] = frame_index
        last_seen = np.concatenate([last_seen, np.full(np.count_nonzero(is_new), frame_index)])
        alive = frame_index - last_seen < spec.max_age
        return TrackerState(
            identities=np.concatenate([state.identities, identities[is_new]])[alive],
            features=np.concatenate([old_features, features[is_new]])[alive],
            learned_queries=np.concatenate([state.learned_queries, output.query_indices[is_new]])[alive],
            last_seen=last_seen[alive],
            next_identity=state.next_identity,
            fed=state.fed,
        )
