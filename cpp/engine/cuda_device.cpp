#include "cuda_device.hpp"

#include <cuda_runtime_api.h>

#include "vpp/error.hpp"

namespace vpp {
namespace {

/// The text of a status; the runtime forgets it, so that no later call reports it again.
std::string reason(cudaError_t status) {
    cudaGetLastError();
    return cudaGetErrorString(status);
}

cudaStream_t stream_of(const Queue& queue) {
    return static_cast<cudaStream_t>(queue.handle.get());
}

/// The stream goes on without graphs, so there is nothing to be done about it.
void check_capture(cudaError_t status, const char* function) {
    if (status != cudaSuccess) {
        throw DeviceError(std::string(function) + ": " + reason(status));
    }
}

/// A captured graph that still has to be instantiated.
Handle owned(cudaGraph_t graph) {
    return {graph, [](void* memory) { cudaGraphDestroy(static_cast<cudaGraph_t>(memory)); }};
}

}  // namespace

CudaDevice::CudaDevice(bool captures) : captures_(captures) {
    int index = 0;
    cudaDeviceProp properties{};
    cudaError_t status = cudaGetDevice(&index);
    if (status == cudaSuccess) {
        status = cudaGetDeviceProperties(&properties, index);
    }
    if (status != cudaSuccess) {
        throw DeviceError("GPU " + std::to_string(index) + " cannot be used (" + reason(status) +
                          "); is there an NVIDIA driver? See: nvidia-smi");
    }
    name_ = properties.name;
    compute_capability_ = std::to_string(properties.major) + "." + std::to_string(properties.minor);
}

Buffer CudaDevice::allocate(std::size_t bytes) {
    void* memory = nullptr;
    if (const cudaError_t status = cudaMalloc(&memory, bytes); status != cudaSuccess) {
        throw DeviceError(name_ + " has no " + std::to_string(bytes) + " bytes of memory left (" + reason(status) +
                          "); close other programs or streams");
    }
    return {{memory, [](void* address) { cudaFree(address); }}, bytes};
}

PinnedMemory CudaDevice::pinned(std::size_t bytes) {
    void* memory = nullptr;
    if (const cudaError_t status = cudaMallocHost(&memory, bytes); status != cudaSuccess) {
        throw DeviceError("the host has no " + std::to_string(bytes) + " bytes of page-locked memory left (" +
                          reason(status) + "); close other programs or streams");
    }
    return {{memory, [](void* address) { cudaFreeHost(address); }}, bytes};
}

Queue CudaDevice::queue() {
    cudaStream_t stream = nullptr;
    check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
    return {{stream, [](void* handle) { cudaStreamDestroy(static_cast<cudaStream_t>(handle)); }}};
}

void CudaDevice::upload(const Buffer& target, const PinnedMemory& source, const Queue& queue) {
    check(cudaMemcpyAsync(target.address.get(), source.address.get(), target.bytes, cudaMemcpyHostToDevice,
                          stream_of(queue)),
          "cudaMemcpyAsync");
}

void CudaDevice::download(const PinnedMemory& target, const Buffer& source, const Queue& queue) {
    check(cudaMemcpyAsync(target.address.get(), source.address.get(), source.bytes, cudaMemcpyDeviceToHost,
                          stream_of(queue)),
          "cudaMemcpyAsync");
}

void CudaDevice::copy(const Buffer& target, const Buffer& source, const Queue& queue) {
    check(cudaMemcpyAsync(target.address.get(), source.address.get(), target.bytes, cudaMemcpyDeviceToDevice,
                          stream_of(queue)),
          "cudaMemcpyAsync");
}

void CudaDevice::follow(const Queue& queue, const Queue& other) {
    cudaEvent_t event = nullptr;
    check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "cudaEventCreateWithFlags");
    const Handle owner(event, [](void* handle) { cudaEventDestroy(static_cast<cudaEvent_t>(handle)); });
    check(cudaEventRecord(event, stream_of(other)), "cudaEventRecord");
    check(cudaStreamWaitEvent(stream_of(queue), event, 0), "cudaStreamWaitEvent");
}

void CudaDevice::synchronize(const Queue& queue) {
    check(cudaStreamSynchronize(stream_of(queue)), "cudaStreamSynchronize");
}

Graph CudaDevice::capture(const Queue& queue, const std::function<void()>& work) {
    const cudaStream_t stream = stream_of(queue);
    cudaGraph_t captured = nullptr;
    // Other threads' calls do not disturb a capture in this mode.
    check_capture(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
    try {
        work();
    } catch (...) {
        cudaStreamEndCapture(stream, &captured);
        const Handle abandoned = owned(captured);
        cudaGetLastError();
        throw;
    }
    check_capture(cudaStreamEndCapture(stream, &captured), "cudaStreamEndCapture");
    const Handle graph = owned(captured);
    cudaGraphExec_t executable = nullptr;
    check_capture(cudaGraphInstantiate(&executable, captured, 0), "cudaGraphInstantiate");
    return {{executable, [](void* handle) { cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(handle)); }}};
}

void CudaDevice::launch(const Graph& graph, const Queue& queue) {
    check(cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph.handle.get()), stream_of(queue)), "cudaGraphLaunch");
}

void CudaDevice::check(int status, const char* function) const {
    if (status != cudaSuccess) {
        throw DeviceError(std::string(function) + " failed on " + name_ + " (" +
                          reason(static_cast<cudaError_t>(status)) + "); start again, and see: nvidia-smi");
    }
}

}  // namespace vpp
