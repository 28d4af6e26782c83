// The custom-op library: what ONNX Runtime calls, in the terms of its C interface.
#include <algorithm>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "deformable_attention.hpp"
#include "onnxruntime_abi.hpp"

namespace {

using namespace vpp;

constexpr char kDomain[] = "vpp";
constexpr size_t kRowsAtOnce = 32;  // of the output, for one call of a thread: some tens of microseconds

using Sizes = std::vector<int64_t>;

// A status that is not a success, on its way out.
struct Failure {
    ort::Status* status;
};

void check(ort::Status* status) {
    if (status != nullptr) {
        throw Failure{status};
    }
}

// Runs `work`; whatever it throws becomes a status, since nothing may leave through ONNX Runtime's C interface.
template <class Work>
ort::Status* guarded(const ort::Api* api, const Work& work) noexcept {
    const auto create = ort::CreateStatus::of(api);
    try {
        work();
        return nullptr;
    } catch (const Failure& failure) {
        return failure.status;
    } catch (const std::invalid_argument& error) {
        return create(ort::kInvalidArgument, error.what());
    } catch (const std::exception& error) {
        return create(ort::kRuntimeException, error.what());
    }
}

struct Kernel {
    const ort::Api* api;
    Sizes sizes;
    std::vector<Level> levels;
};

Sizes shape_of(const ort::Api* api, const ort::Value* value) {
    ort::TensorTypeAndShapeInfo* info = nullptr;
    check(ort::GetTensorTypeAndShape::of(api)(value, &info));
    const std::unique_ptr<ort::TensorTypeAndShapeInfo, void (*)(ort::TensorTypeAndShapeInfo*) noexcept> owner(
        info, ort::ReleaseTensorTypeAndShapeInfo::of(api));
    size_t rank = 0;
    check(ort::GetDimensionsCount::of(api)(info, &rank));
    Sizes shape(rank);
    check(ort::GetDimensions::of(api)(info, shape.data(), rank));
    return shape;
}

float* data_of(const ort::Api* api, const ort::Value* value) {
    void* data = nullptr;
    check(ort::GetTensorMutableData::of(api)(const_cast<ort::Value*>(value), &data));
    return static_cast<float*>(data);
}

std::string text_of(const Sizes& shape) {
    std::string text = "[";
    for (const int64_t size : shape)
        text += (text.size() > 1 ? ", " : "") + std::to_string(size);
    return text + "]";
}

void expect(const char* name, const Sizes& shape, const Sizes& expected) {
    if (shape != expected) {
        throw std::invalid_argument(std::string("vpp::DeformableAttention: ") + name + " has the shape " +
                                    text_of(shape) + " instead of " + text_of(expected));
    }
}

// One of the inputs, whose shape has so many axes.
struct Input {
    const float* data;
    Sizes shape;

    Input(const ort::Api* api, const ort::KernelContext* context, size_t index, const char* name, size_t rank) {
        const ort::Value* value = nullptr;
        check(ort::KernelContextGetInput::of(api)(context, index, &value));
        shape = shape_of(api, value);
        if (shape.size() != rank) {
            throw std::invalid_argument(std::string("vpp::DeformableAttention: ") + name + " has the shape " +
                                        text_of(shape) + ", which has not " + std::to_string(rank) + " axes");
        }
        data = data_of(api, value);
    }
};

void compute(const Kernel& kernel, ort::KernelContext* context) {
    const ort::Api* api = kernel.api;
    const Input value(api, context, 0, "value", 4), offsets(api, context, 1, "offsets", 6);
    const Input weights(api, context, 2, "weights", 5), reference_points(api, context, 3, "reference_points", 2);

    const int64_t batch = value.shape[0], heads = value.shape[2], channels = value.shape[3];
    const int64_t queries = offsets.shape[1], points = offsets.shape[4];
    const int64_t levels = static_cast<int64_t>(kernel.levels.size());
    const Level& last = kernel.levels.back();
    const int64_t length = last.start + int64_t{last.height} * last.width;
    expect("value", value.shape, {batch, length, heads, channels});
    expect("offsets", offsets.shape, {batch, queries, levels, heads, points, 2});
    expect("weights", weights.shape, {batch, queries, heads, levels, points});
    expect("reference_points", reference_points.shape, {queries, 2});

    const Sizes shape{batch, queries, heads * channels};
    ort::Value* output = nullptr;
    check(ort::KernelContextGetOutput::of(api)(context, 0, shape.data(), shape.size(), &output));
    DeformableAttention task{};
    task.value = value.data;
    task.offsets = offsets.data;
    task.weights = weights.data;
    task.reference_points = reference_points.data;
    task.output = data_of(api, output);
    task.levels = kernel.levels.data();
    task.level_count = kernel.levels.size();
    task.batch = static_cast<size_t>(batch);
    task.length = static_cast<size_t>(length);
    task.queries = static_cast<size_t>(queries);
    task.heads = static_cast<size_t>(heads);
    task.channels = static_cast<size_t>(channels);
    task.points = static_cast<size_t>(points);
    const size_t rows = task.batch * task.queries;
    const auto some_rows = [](void* data, size_t index) {
        const auto& some = *static_cast<const DeformableAttention*>(data);
        deformable_attention(some, index * kRowsAtOnce, std::min((index + 1) * kRowsAtOnce, some.batch * some.queries));
    };
    const size_t parts = (rows + kRowsAtOnce - 1) / kRowsAtOnce;
    check(ort::KernelContextParallelFor::of(api)(context, some_rows, parts, 0, &task));
}

Kernel* create(const ort::Api* api, const ort::KernelInfo* info) {
    const auto read = ort::KernelInfoGetAttributeArrayInt64::of(api);
    size_t count = 0;
    check(read(info, "level_shapes", nullptr, &count));
    Sizes sizes(count);
    check(read(info, "level_shapes", sizes.data(), &count));
    auto levels = levels_of(sizes);
    if (levels.empty()) {
        throw std::invalid_argument("vpp::DeformableAttention: level_shapes is " + text_of(sizes) +
                                    ", which are not heights and widths of maps");
    }
    return new Kernel{api, std::move(sizes), std::move(levels)};
}

const ort::CustomOp kDeformableAttention = [] {
    ort::CustomOp op{};
    op.version = ort::kApiVersion;
    op.get_name = [](const ort::CustomOp*) { return "DeformableAttention"; };
    op.get_execution_provider = [](const ort::CustomOp*) -> const char* { return nullptr; };  // the processor's
    op.get_input_count = [](const ort::CustomOp*) -> size_t { return 4; };
    op.get_output_count = [](const ort::CustomOp*) -> size_t { return 1; };
    op.get_input_type = op.get_output_type = [](const ort::CustomOp*, size_t) { return ort::kFloat; };
    op.get_input_characteristic =
        op.get_output_characteristic = [](const ort::CustomOp*, size_t) { return ort::kRequired; };
    op.get_input_memory_type = [](const ort::CustomOp*, size_t) { return ort::kDefaultMemory; };
    op.get_start_version = op.get_end_version = [](const ort::CustomOp*) { return 1; };
    op.create_kernel_v2 = [](const ort::CustomOp*, const ort::Api* api, const ort::KernelInfo* info, void** kernel) {
        return guarded(api, [&] { *kernel = create(api, info); });
    };
    op.kernel_compute_v2 = [](void* kernel, ort::KernelContext* context) {
        const auto& mine = *static_cast<const Kernel*>(kernel);
        return guarded(mine.api, [&] { compute(mine, context); });
    };
    op.kernel_destroy = [](void* kernel) { delete static_cast<Kernel*>(kernel); };
    return op;
}();

using Domain = std::unique_ptr<ort::CustomOpDomain, void (*)(ort::CustomOpDomain*) noexcept>;

Domain make_domain(const ort::Api* api) {
    ort::CustomOpDomain* made = nullptr;
    check(ort::CreateCustomOpDomain::of(api)(kDomain, &made));
    Domain domain(made, ort::ReleaseCustomOpDomain::of(api));
    check(ort::CustomOpDomainAdd::of(api)(made, &kDeformableAttention));
    return domain;
}

}  // namespace

// A program that does not want to load a library of another version finds this in the file:
// "vpp_onnxruntime_ops_version=0.1.0".
extern "C" __attribute__((visibility("default"))) const char vpp_onnxruntime_ops_version[];
const char vpp_onnxruntime_ops_version[] = "vpp_onnxruntime_ops_version=" VPP_DEPLOY_VERSION;

// What ONNX Runtime looks for when a session is given a library of custom ops.
extern "C" __attribute__((visibility("default"))) ort::Status* RegisterCustomOps(ort::SessionOptions* options,
                                                                                 const ort::ApiBase* base) {
    const ort::Api* api = base->get_api(ort::kApiVersion);
    if (api == nullptr) {
        return ort::CreateStatus::of(base->get_api(1))(ort::kRuntimeException,
                                                       "the vpp ops need ONNX Runtime 1.17 or later");
    }
    return guarded(api, [&] {
        static const Domain domain = make_domain(api);  // sessions use it as long as the library is loaded
        check(ort::AddCustomOpDomain::of(api)(options, domain.get()));
    });
}
