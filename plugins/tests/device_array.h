// Device memory between guard zones, and running kernels on the tests' stream.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <cstring>
#include <vector>

#include "check.h"

inline void check_cuda(cudaError_t error, const char* what) {
    CHECK(error == cudaSuccess, "%s: %s", what, cudaGetErrorString(error));
}

inline cudaStream_t test_stream() {
    static const cudaStream_t stream = [] {
        cudaStream_t created;
        check_cuda(cudaStreamCreate(&created), "stream");
        return created;
    }();
    return stream;
}

// `count` elements at an address that is `misalignment` bytes past a multiple of 16.
template <typename T>
class DeviceArray {
  public:
    explicit DeviceArray(size_t count, size_t misalignment = 0) : count_(count), offset_(kGuard + misalignment) {
        check_cuda(cudaMalloc(&memory_, size()), "cudaMalloc");
        fill(std::vector<uint8_t>(size(), kPattern));
    }
    explicit DeviceArray(const std::vector<T>& values, size_t misalignment = 0)
        : DeviceArray(values.size(), misalignment) {
        std::vector<uint8_t> bytes(size(), kPattern);
        if (count_ > 0)
            std::memcpy(&bytes[offset_], values.data(), count_ * sizeof(T));
        fill(bytes);
    }
    DeviceArray(const DeviceArray&) = delete;
    ~DeviceArray() { cudaFree(memory_); }

    T* data() const { return reinterpret_cast<T*>(static_cast<uint8_t*>(memory_) + offset_); }

    // The elements; fails if anything was written around them.
    std::vector<T> read(const char* what) const {
        std::vector<uint8_t> bytes(size());
        check_cuda(cudaMemcpy(bytes.data(), memory_, size(), cudaMemcpyDeviceToHost), what);
        for (size_t i = 0; i < size(); ++i) {
            if (offset_ <= i && i < offset_ + count_ * sizeof(T))
                continue;
            CHECK(bytes[i] == kPattern, "%s: written %lld bytes from the start", what,
                  static_cast<long long>(i) - static_cast<long long>(offset_));
        }
        std::vector<T> values(count_);
        if (count_ > 0)
            std::memcpy(values.data(), &bytes[offset_], count_ * sizeof(T));
        return values;
    }

  private:
    static constexpr size_t kGuard = 256;
#ifdef VPP_EMULATED
    static constexpr size_t kTail = 0;  // the emulation has an inaccessible page there, which also catches reads
#else
    static constexpr size_t kTail = kGuard;
#endif
    static constexpr uint8_t kPattern = 0xA5;

    size_t size() const { return offset_ + count_ * sizeof(T) + kTail; }
    void fill(const std::vector<uint8_t>& bytes) {
        check_cuda(cudaMemcpy(memory_, bytes.data(), bytes.size(), cudaMemcpyHostToDevice), "cudaMemcpy");
    }

    size_t count_, offset_;
    void* memory_ = nullptr;
};

// Runs what `enqueue(stream)` enqueues; on a GPU as a CUDA graph, which shows that it can be captured.
template <typename Enqueue>
void run_captured(Enqueue enqueue, const char* what) {
    const cudaStream_t stream = test_stream();
#ifdef VPP_EMULATED
    check_cuda(enqueue(stream), what);
#else
    cudaGraph_t graph;
    cudaGraphExec_t executable;
    check_cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), what);
    check_cuda(enqueue(stream), what);
    check_cuda(cudaStreamEndCapture(stream, &graph), what);
    check_cuda(cudaGraphInstantiate(&executable, graph, 0), what);
    check_cuda(cudaGraphLaunch(executable, stream), what);
    check_cuda(cudaStreamSynchronize(stream), what);
    check_cuda(cudaGraphExecDestroy(executable), what);
    check_cuda(cudaGraphDestroy(graph), what);
#endif
}

template <typename... Parameters, typename... Arguments>
void run_embedded(void (*kernel)(Parameters...), dim3 grid, int block, size_t shared_bytes, const char* what,
                  Arguments... arguments) {
    cudaLaunchConfig_t launch{};
    launch.gridDim = grid;
    launch.blockDim = dim3(block);
    launch.dynamicSmemBytes = shared_bytes;
    launch.stream = test_stream();
    check_cuda(cudaLaunchKernelEx(&launch, kernel, arguments...), what);
    check_cuda(cudaStreamSynchronize(launch.stream), what);
}
