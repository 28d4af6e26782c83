// What this library uses of ONNX Runtime's C interface, declared here because the Python package comes without headers.
// ONNX Runtime only ever appends to its tables, so a position in them means the same in every version since the one
// that brought it. abi_check.cpp holds this file against the real headers.
#pragma once

#include <cstddef>
#include <cstdint>

namespace vpp::ort {

// Opaque: only pointers to them are handed around.
struct Status;
struct Api;
struct Value;
struct SessionOptions;
struct CustomOpDomain;
struct KernelInfo;
struct KernelContext;
struct TensorTypeAndShapeInfo;
struct ShapeInferContext;

constexpr uint32_t kApiVersion = 17;  // ONNX Runtime 1.17, the first with KernelContext_ParallelFor

enum ErrorCode : int32_t { kInvalidArgument = 2, kRuntimeException = 6 };
enum ElementType : int32_t { kUndefined = 0, kFloat = 1 };
enum Characteristic : int32_t { kRequired = 0 };
enum MemoryType : int32_t { kDefaultMemory = 0 };

struct ApiBase {
    const Api* (*get_api)(uint32_t version) noexcept;
    const char* (*get_version_string)() noexcept;
};

// An entry of the table of functions: its position and its type.
template <size_t Position, class Function>
struct Entry {
    static constexpr size_t position = Position;

    static Function* of(const Api* api) noexcept {
        return reinterpret_cast<Function*>(reinterpret_cast<void (*const*)()>(api)[Position]);
    }
};

using CreateStatus = Entry<0, Status*(ErrorCode, const char* message) noexcept>;
using CreateCustomOpDomain = Entry<26, Status*(const char* name, CustomOpDomain**) noexcept>;
using CustomOpDomainAdd = Entry<27, Status*(CustomOpDomain*, const struct CustomOp*) noexcept>;
using AddCustomOpDomain = Entry<28, Status*(SessionOptions*, CustomOpDomain*) noexcept>;
using GetTensorMutableData = Entry<51, Status*(Value*, void** data) noexcept>;
using GetDimensionsCount = Entry<61, Status*(const TensorTypeAndShapeInfo*, size_t* count) noexcept>;
using GetDimensions = Entry<62, Status*(const TensorTypeAndShapeInfo*, int64_t* sizes, size_t count) noexcept>;
using GetTensorTypeAndShape = Entry<65, Status*(const Value*, TensorTypeAndShapeInfo**) noexcept>;
using KernelContextGetInput = Entry<90, Status*(const KernelContext*, size_t index, const Value**) noexcept>;
using KernelContextGetOutput =
    Entry<91, Status*(KernelContext*, size_t index, const int64_t* sizes, size_t rank, Value**) noexcept>;
using ReleaseTensorTypeAndShapeInfo = Entry<99, void(TensorTypeAndShapeInfo*) noexcept>;
using ReleaseCustomOpDomain = Entry<101, void(CustomOpDomain*) noexcept>;
using KernelInfoGetAttributeArrayInt64 =
    Entry<163, Status*(const KernelInfo*, const char* name, int64_t* values, size_t* count) noexcept>;
using KernelContextParallelFor = Entry<274, Status*(const KernelContext*, void (*work)(void* data, size_t index),
                                                    size_t total, size_t batches, void* data) noexcept>;

// A custom op as ONNX Runtime calls it. Members after `get_end_version` are of later versions than `version` here, and
// ONNX Runtime does not look at them then.
struct CustomOp {
    uint32_t version;
    void* (*create_kernel)(const CustomOp*, const Api*, const KernelInfo*);
    const char* (*get_name)(const CustomOp*);
    const char* (*get_execution_provider)(const CustomOp*);
    ElementType (*get_input_type)(const CustomOp*, size_t index);
    size_t (*get_input_count)(const CustomOp*);
    ElementType (*get_output_type)(const CustomOp*, size_t index);
    size_t (*get_output_count)(const CustomOp*);
    void (*kernel_compute)(void* kernel, KernelContext*);
    void (*kernel_destroy)(void* kernel);
    Characteristic (*get_input_characteristic)(const CustomOp*, size_t index);
    Characteristic (*get_output_characteristic)(const CustomOp*, size_t index);
    MemoryType (*get_input_memory_type)(const CustomOp*, size_t index);
    int (*get_variadic_input_min_arity)(const CustomOp*);
    int (*get_variadic_input_homogeneity)(const CustomOp*);
    int (*get_variadic_output_min_arity)(const CustomOp*);
    int (*get_variadic_output_homogeneity)(const CustomOp*);
    Status* (*create_kernel_v2)(const CustomOp*, const Api*, const KernelInfo*, void** kernel);
    Status* (*kernel_compute_v2)(void* kernel, KernelContext*);
    Status* (*infer_output_shape)(const CustomOp*, ShapeInferContext*);
    int (*get_start_version)(const CustomOp*);
    int (*get_end_version)(const CustomOp*);
    size_t (*get_may_inplace)(int** inputs, int** outputs);
    void (*release_may_inplace)(int* inputs, int* outputs);
    size_t (*get_alias_map)(int** inputs, int** outputs);
    void (*release_alias_map)(int* inputs, int* outputs);
};

}  // namespace vpp::ort
