// Compiled where ONNX Runtime's headers are (ONNXRUNTIME_INCLUDE_DIR): holds onnxruntime_abi.hpp against them.
#include <onnxruntime_c_api.h>

#include <type_traits>

#include "onnxruntime_abi.hpp"

namespace {

namespace ort = vpp::ort;

// What is passed: a pointer, nothing, or a number of so many bytes.
template <class T>
constexpr size_t kind() {
    if constexpr (std::is_pointer_v<T>) {
        return 100;
    } else if constexpr (std::is_void_v<T>) {
        return 0;
    } else {
        static_assert(std::is_integral_v<T> || std::is_enum_v<T>);
        return sizeof(T);
    }
}

template <class A, class B>
struct SameCall : std::false_type {};
template <class R, class... A, class S, class... B>
struct SameCall<R (*)(A...), S (*)(B...)>
    : std::bool_constant<kind<R>() == kind<S>() && sizeof...(A) == sizeof...(B) && (... && (kind<A>() == kind<B>()))> {
};

// Whether a function throws is part of its type, but not of how it is called.
template <class Function>
struct Plain;
template <class R, class... A>
struct Plain<R (*)(A...)> {
    using Type = R (*)(A...);
};
template <class R, class... A>
struct Plain<R (*)(A...) noexcept> {
    using Type = R (*)(A...);
};

template <class A, class B>
constexpr bool same_call = SameCall<typename Plain<A>::Type, typename Plain<B>::Type>::value;

template <class E>
struct FunctionOf;
template <size_t Position, class Function>
struct FunctionOf<ort::Entry<Position, Function>> {
    using Type = Function*;
};

#define CHECK_ENTRY(OURS, THEIRS)                                                            \
    static_assert(ort::OURS::position * sizeof(void*) == offsetof(OrtApi, THEIRS), #THEIRS); \
    static_assert(same_call<FunctionOf<ort::OURS>::Type, decltype(OrtApi::THEIRS)>, #THEIRS " call")

CHECK_ENTRY(CreateStatus, CreateStatus);
CHECK_ENTRY(CreateCustomOpDomain, CreateCustomOpDomain);
CHECK_ENTRY(CustomOpDomainAdd, CustomOpDomain_Add);
CHECK_ENTRY(AddCustomOpDomain, AddCustomOpDomain);
CHECK_ENTRY(GetTensorMutableData, GetTensorMutableData);
CHECK_ENTRY(GetDimensionsCount, GetDimensionsCount);
CHECK_ENTRY(GetDimensions, GetDimensions);
CHECK_ENTRY(GetTensorTypeAndShape, GetTensorTypeAndShape);
CHECK_ENTRY(KernelContextGetInput, KernelContext_GetInput);
CHECK_ENTRY(KernelContextGetOutput, KernelContext_GetOutput);
CHECK_ENTRY(ReleaseTensorTypeAndShapeInfo, ReleaseTensorTypeAndShapeInfo);
CHECK_ENTRY(ReleaseCustomOpDomain, ReleaseCustomOpDomain);
CHECK_ENTRY(KernelInfoGetAttributeArrayInt64, KernelInfoGetAttributeArray_int64);
CHECK_ENTRY(KernelContextParallelFor, KernelContext_ParallelFor);

#define CHECK_MEMBER(STRUCT, OURS, THEIRS)                                                \
    static_assert(offsetof(ort::STRUCT, OURS) == offsetof(Ort##STRUCT, THEIRS), #THEIRS); \
    static_assert(same_call<decltype(ort::STRUCT::OURS), decltype(Ort##STRUCT::THEIRS)>, #THEIRS " call")

CHECK_MEMBER(ApiBase, get_api, GetApi);
CHECK_MEMBER(ApiBase, get_version_string, GetVersionString);
CHECK_MEMBER(CustomOp, create_kernel, CreateKernel);
CHECK_MEMBER(CustomOp, get_name, GetName);
CHECK_MEMBER(CustomOp, get_execution_provider, GetExecutionProviderType);
CHECK_MEMBER(CustomOp, get_input_type, GetInputType);
CHECK_MEMBER(CustomOp, get_input_count, GetInputTypeCount);
CHECK_MEMBER(CustomOp, get_output_type, GetOutputType);
CHECK_MEMBER(CustomOp, get_output_count, GetOutputTypeCount);
CHECK_MEMBER(CustomOp, kernel_compute, KernelCompute);
CHECK_MEMBER(CustomOp, kernel_destroy, KernelDestroy);
CHECK_MEMBER(CustomOp, get_input_characteristic, GetInputCharacteristic);
CHECK_MEMBER(CustomOp, get_output_characteristic, GetOutputCharacteristic);
CHECK_MEMBER(CustomOp, get_input_memory_type, GetInputMemoryType);
CHECK_MEMBER(CustomOp, get_variadic_input_min_arity, GetVariadicInputMinArity);
CHECK_MEMBER(CustomOp, get_variadic_input_homogeneity, GetVariadicInputHomogeneity);
CHECK_MEMBER(CustomOp, get_variadic_output_min_arity, GetVariadicOutputMinArity);
CHECK_MEMBER(CustomOp, get_variadic_output_homogeneity, GetVariadicOutputHomogeneity);
CHECK_MEMBER(CustomOp, create_kernel_v2, CreateKernelV2);
CHECK_MEMBER(CustomOp, kernel_compute_v2, KernelComputeV2);
CHECK_MEMBER(CustomOp, infer_output_shape, InferOutputShapeFn);
CHECK_MEMBER(CustomOp, get_start_version, GetStartVersion);
CHECK_MEMBER(CustomOp, get_end_version, GetEndVersion);
static_assert(offsetof(ort::CustomOp, version) == offsetof(OrtCustomOp, version));

static_assert(ort::kApiVersion <= ORT_API_VERSION);
static_assert(ort::kInvalidArgument == static_cast<int>(ORT_INVALID_ARGUMENT));
static_assert(ort::kRuntimeException == static_cast<int>(ORT_RUNTIME_EXCEPTION));
static_assert(ort::kFloat == static_cast<int>(ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT));
static_assert(ort::kRequired == static_cast<int>(INPUT_OUTPUT_REQUIRED));
static_assert(ort::kDefaultMemory == static_cast<int>(OrtMemTypeDefault));

}  // namespace
