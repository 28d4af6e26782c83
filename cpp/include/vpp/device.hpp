#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "vpp/manifest.hpp"

namespace vpp {

// What an engine stream needs of a device, and nothing more: memory, queues of work, and graphs of captured work. The
// logic above it (`DeviceStream`) is the same for every device.

/// Something of a device's own, released when it is destroyed; only the device knows what it points to.
using Handle = std::unique_ptr<void, std::function<void(void*)>>;

/// Device memory for one tensor.
struct Buffer {
    Handle address;
    std::size_t bytes = 0;
};

/// Host memory that the device can read and write while the host goes on.
struct PinnedMemory {
    Handle address;
    std::size_t bytes = 0;
};

/// Work in order, as a CUDA stream.
struct Queue {
    Handle handle;
};

/// Captured work that can be launched again, as a CUDA graph.
struct Graph {
    Handle handle;
};

/// A device's memory and queues. Functions that take a queue return before the work is done; all throw DeviceError.
class Device {
  public:
    virtual ~Device() = default;

    virtual std::string name() const = 0;

    /// Whether work is to be captured in graphs.
    virtual bool captures() const = 0;

    /// Device memory. Its content is undefined.
    virtual Buffer allocate(std::size_t bytes) = 0;

    /// Page-locked host memory. Its content is undefined.
    virtual PinnedMemory pinned(std::size_t bytes) = 0;

    virtual Queue queue() = 0;

    /// Queue a copy from host memory of the same size.
    virtual void upload(const Buffer& target, const PinnedMemory& source, const Queue& queue) = 0;

    /// Queue a copy into host memory of the same size.
    virtual void download(const PinnedMemory& target, const Buffer& source, const Queue& queue) = 0;

    /// Queue a copy between buffers of the same size.
    virtual void copy(const Buffer& target, const Buffer& source, const Queue& queue) = 0;

    /// Let what is queued from now on wait for what the other queue holds now.
    virtual void follow(const Queue& queue, const Queue& other) = 0;

    /// Wait until everything in the queue is done.
    virtual void synchronize(const Queue& queue) = 0;

    /// What `work` puts into the queue, as a graph; nothing is computed. `work` may throw DeviceError.
    ///
    /// @throws DeviceError something in it cannot be captured; it can still be queued piece by piece.
    virtual Graph capture(const Queue& queue, const std::function<void()>& work) = 0;

    /// Queue a graph.
    virtual void launch(const Graph& graph, const Queue& queue) = 0;
};

/// One stream's use of one graph of an engine: its bindings and its scratch memory. Functions throw DeviceError.
class Context {
  public:
    virtual ~Context() = default;

    /// Have an input or output live in this memory from now on.
    virtual void bind(const std::string& name, const Buffer& buffer) = 0;

    /// Queue one run.
    virtual void enqueue(const Queue& queue) = 0;
};

/// Makes a context for a phase's graph; weights are shared between contexts.
using CreateContext = std::function<std::unique_ptr<Context>(GraphRole)>;

}  // namespace vpp
