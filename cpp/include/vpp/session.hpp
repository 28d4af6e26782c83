#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "vpp/engine_stream.hpp"
#include "vpp/manifest.hpp"
#include "vpp/results.hpp"
#include "vpp/tensor.hpp"
#include "vpp/tracker.hpp"

namespace vpp {

/// A picture in the model's input size, with the geometry that leads back to the source.
struct Frame {
    std::shared_ptr<const Tensor> image;  ///< `[H, W, 3]` RGB
    Size content;                         ///< height and width of the picture inside `image`, from its top-left corner
    Size original;                        ///< of the source picture, in pixels
};

/// A snapshot of a session.
struct SessionState {
    StreamState stream;
    TrackerState tracker;
    std::int64_t frames = 0;  ///< how many frames of the video have been seen
    std::string bundle = {};  ///< which graphs and weights it is of; empty for a state that is made by hand
};

/// Bytes of memory that a session takes for what a manifest says, unless its caller allows more.
constexpr std::size_t kMostMemory = 2'000'000'000;

/// One video on one engine, frame by frame and strictly in order.
///
/// A second video is a second session over the same engine, or this one after `reset`. Not thread-safe.
class Session {
  public:
    /// @param manifest of the bundle.
    /// @param stream a new stream of an engine of this bundle.
    /// @param max_memory bytes that tensors of the manifest's sizes may take.
    /// @throws UsageError the bundle takes selection noise.
    /// @throws BundleError the graphs do not take and give what a video session needs, or too much memory.
    Session(const Manifest& manifest, std::unique_ptr<EngineStream> stream, std::size_t max_memory = kMostMemory);

    /// Letterbox a picture.
    ///
    /// @param rgb `[H0, W0, 3]`, rows without gaps. It is copied.
    /// @param original H0 and W0.
    /// @throws UsageError a length is not in [1, 2^20].
    Frame frame(const std::uint8_t* rgb, Size original) const;

    /// Process the next frame.
    ///
    /// @returns the result; its `time` and `name` are left for the caller to fill in. `seconds` has the parts `engine`
    ///     and `host`, letterboxing not included.
    /// @throws UsageError the frame is not of the model's size.
    /// @throws DeviceError the engine failed, or gave NaN, infinity, or positions that there are not.
    FrameResult step(const Frame& frame);

    /// Letterbox the next picture and process it; see `frame` and above.
    FrameResult step(const std::uint8_t* rgb, Size original) { return step(frame(rgb, original)); }

    /// Let the engine begin to take the pixels of the frame that comes next. It may be left out.
    ///
    /// @param frame is given to `step` next.
    /// @throws UsageError, DeviceError: as `step`.
    void prefetch(const Frame& frame);

    /// Start a new video: no state, no tracks, frame and track numbers from 0.
    void reset();

    /// A copy of everything that the session remembers; later frames do not change it.
    ///
    /// @throws DeviceError the engine failed.
    SessionState snapshot();

    /// Continue from a snapshot of this session, or of another one on the same bundle (any engine).
    ///
    /// @throws UsageError the snapshot is of another model, or contradicts itself. The session keeps its own state.
    /// @throws DeviceError the engine failed.
    void restore(const SessionState& state);

  private:
    SharedTensors prepare(const Frame& frame, const TrackFeed& feed) const;
    FrameResult complete(const Frame& frame, const TrackFeed& feed, const Tensors& outputs);

    Manifest manifest_;
    std::unique_ptr<EngineStream> stream_;
    QueryTracker tracker_;
    std::int64_t frames_ = 0;
};

}  // namespace vpp
