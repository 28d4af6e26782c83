#pragma once

#include "vpp/device.hpp"

namespace vpp {

/// The NVIDIA GPU that is the calling thread's current CUDA device; threads that use it must have it as theirs.
///
/// A queue's handle is its `cudaStream_t`, a graph's its `cudaGraphExec_t`.
class CudaDevice final : public Device {
  public:
    /// @param captures whether streams capture CUDA graphs.
    /// @throws DeviceError there is no GPU or no driver.
    explicit CudaDevice(bool captures);

    /// e.g. "8.9".
    const std::string& compute_capability() const { return compute_capability_; }

    std::string name() const override { return name_; }
    bool captures() const override { return captures_; }
    Buffer allocate(std::size_t bytes) override;
    PinnedMemory pinned(std::size_t bytes) override;
    Queue queue() override;
    void upload(const Buffer& target, const PinnedMemory& source, const Queue& queue) override;
    void download(const PinnedMemory& target, const Buffer& source, const Queue& queue) override;
    void copy(const Buffer& target, const Buffer& source, const Queue& queue) override;
    void follow(const Queue& queue, const Queue& other) override;
    void synchronize(const Queue& queue) override;
    Graph capture(const Queue& queue, const std::function<void()>& work) override;
    void launch(const Graph& graph, const Queue& queue) override;

  private:
    void check(int status, const char* function) const;

    std::string name_;
    std::string compute_capability_;
    bool captures_;
};

}  // namespace vpp
