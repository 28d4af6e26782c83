// From an op of ops.h to a TensorRT plugin and its creator. Nothing is allocated or awaited while an engine runs.
#pragma once

#include <NvInferRuntime.h>

#include <array>
#include <new>
#include <string>

#include "log.h"
#include "tensors.h"

namespace vpp {

using namespace nvinfer1;

constexpr const char* kPluginVersion = "1";
constexpr const char* kPluginNamespace = "";
constexpr int32_t kFailure = -1;

// A tensor as it is while the engine runs, and the largest that it can be when the engine is built.
inline const Dims& dims_of(const PluginTensorDesc& tensor) {
    return tensor.dims;
}
inline const Dims& dims_of(const DynamicPluginTensorDesc& tensor) {
    return tensor.max;
}
inline DataType type_of(const PluginTensorDesc& tensor) {
    return tensor.type;
}
inline DataType type_of(const DynamicPluginTensorDesc& tensor) {
    return tensor.desc.type;
}

template <class Op>
class OpPlugin final : public IPluginV3, public IPluginV3OneCore, public IPluginV3OneBuild, public IPluginV3OneRuntime {
  public:
    static constexpr int32_t kInputs = static_cast<int32_t>(Op::kTensors.size()) - 1;
    static constexpr Kind kOutput = Op::kTensors[kInputs];

    explicit OpPlugin(const Op& op) : op_(op) {
        const auto attributes = Op::attributes();
        for (size_t i = 0; i < attributes.size(); ++i) {
            fields_[i] = {attributes[i].name, &(op_.*attributes[i].value), PluginFieldType::kINT32, 1};
        }
        field_collection_ = {static_cast<int32_t>(fields_.size()), fields_.data()};
    }
    OpPlugin(const OpPlugin&) = delete;  // the fields point into the object: `clone` makes them anew
    OpPlugin& operator=(const OpPlugin&) = delete;

    // IPluginV3
    IPluginCapability* getCapabilityInterface(PluginCapabilityType type) noexcept override {
        switch (type) {
            case PluginCapabilityType::kCORE:
                return static_cast<IPluginV3OneCore*>(this);
            case PluginCapabilityType::kBUILD:
                return static_cast<IPluginV3OneBuild*>(this);
            case PluginCapabilityType::kRUNTIME:
                return static_cast<IPluginV3OneRuntime*>(this);
        }
        return nullptr;
    }
    IPluginV3* clone() noexcept override { return new (std::nothrow) OpPlugin(op_); }

    // IPluginV3OneCore
    const char* getPluginName() const noexcept override { return Op::kName; }
    const char* getPluginVersion() const noexcept override { return kPluginVersion; }
    const char* getPluginNamespace() const noexcept override { return kPluginNamespace; }

    // IPluginV3OneBuild
    int32_t getNbOutputs() const noexcept override { return 1; }

    int32_t getOutputDataTypes(DataType* outputs, int32_t, const DataType* inputs, int32_t) const noexcept override {
        outputs[0] = kOutput == Kind::kTokens ? inputs[0] : DataType::kINT32;
        return 0;
    }

    int32_t getOutputShapes(const DimsExprs* inputs, int32_t input_count, const DimsExprs*, int32_t, DimsExprs* outputs,
                            int32_t, IExprBuilder& expressions) noexcept override {
        if (!has_ranks(inputs, input_count))
            return kFailure;
        outputs[0] = op_.output_shape(inputs, expressions);
        return 0;
    }

    bool supportsFormatCombination(int32_t position, const DynamicPluginTensorDesc* tensors, int32_t,
                                   int32_t) noexcept override {
        const PluginTensorDesc& tensor = tensors[position].desc;
        const Kind kind = Op::kTensors[position];
        // Tokens come first in every op that has any.
        return tensor.format == TensorFormat::kLINEAR && has_type(kind, tensor.type) &&
               (kind != Kind::kTokens || tensor.type == tensors[0].desc.type);
    }

    int32_t configurePlugin(const DynamicPluginTensorDesc* inputs, int32_t input_count, const DynamicPluginTensorDesc*,
                            int32_t) noexcept override {
        return check(inputs, input_count);
    }

    size_t getWorkspaceSize(const DynamicPluginTensorDesc* inputs, int32_t, const DynamicPluginTensorDesc*,
                            int32_t) const noexcept override {
        return op_.workspace_bytes(all_dims(inputs).data(), kernel_type(type_of(inputs[0])));
    }

    // IPluginV3OneRuntime
    int32_t onShapeChange(const PluginTensorDesc* inputs, int32_t input_count, const PluginTensorDesc*,
                          int32_t) noexcept override {
        return check(inputs, input_count);
    }

    int32_t enqueue(const PluginTensorDesc* descriptions, const PluginTensorDesc*, const void* const* inputs,
                    void* const* outputs, void* workspace, cudaStream_t stream) noexcept override {
        const cudaError_t status = op_.enqueue(all_dims(descriptions).data(), kernel_type(type_of(descriptions[0])),
                                               inputs, outputs[0], workspace, stream);
        if (status != cudaSuccess)
            log_error(Op::kName, cudaGetErrorString(status));
        return status == cudaSuccess ? 0 : kFailure;
    }

    IPluginV3* attachToContext(IPluginResourceContext*) noexcept override { return clone(); }

    const PluginFieldCollection* getFieldsToSerialize() noexcept override { return &field_collection_; }

  private:
    template <class Tensor>
    static std::array<Dims, kInputs> all_dims(const Tensor* tensors) {
        std::array<Dims, kInputs> dims;
        for (int32_t i = 0; i < kInputs; ++i)
            dims[i] = dims_of(tensors[i]);
        return dims;
    }

    template <class DimsLike>
    static bool has_ranks(const DimsLike* inputs, int32_t count) {
        bool fits = count == kInputs;
        for (int32_t i = 0; fits && i < kInputs; ++i)
            fits = inputs[i].nbDims == rank_of(Op::kTensors[i]);
        if (!fits)
            log_error(Op::kName, "another number of inputs, or inputs of other ranks, than it takes");
        return fits;
    }

    template <class Tensor>
    int32_t check(const Tensor* inputs, int32_t count) const {
        if (count != kInputs)
            return kFailure;
        const auto dims = all_dims(inputs);
        if (!has_ranks(dims.data(), count))
            return kFailure;
        const char* problem = op_.problem(dims.data());
        if (problem != nullptr)
            log_error(Op::kName, problem);
        return problem == nullptr ? 0 : kFailure;
    }

    Op op_;
    std::array<PluginField, Op::attributes().size()> fields_;
    PluginFieldCollection field_collection_;
};

template <class Op>
class OpCreator final : public IPluginCreatorV3One {
  public:
    OpCreator() {
        const auto attributes = Op::attributes();
        for (size_t i = 0; i < attributes.size(); ++i) {
            fields_[i] = {attributes[i].name, nullptr, PluginFieldType::kINT32, 1};
        }
        field_collection_ = {static_cast<int32_t>(fields_.size()), fields_.data()};
    }

    // The same fields in both phases: from the graph's attributes, or as `getFieldsToSerialize` gave them.
    IPluginV3* createPlugin(const char*, const PluginFieldCollection* fields, TensorRTPhase) noexcept override {
        Op op;
        for (const auto& attribute : Op::attributes()) {
            const PluginField* field = find(fields, attribute.name);
            if (field == nullptr) {
                log_error(Op::kName, std::string("attribute ") + attribute.name + " is missing or not an int32");
                return nullptr;
            }
            op.*attribute.value = *static_cast<const int32_t*>(field->data);
        }
        return new (std::nothrow) OpPlugin<Op>(op);
    }

    const PluginFieldCollection* getFieldNames() noexcept override { return &field_collection_; }
    const char* getPluginName() const noexcept override { return Op::kName; }
    const char* getPluginVersion() const noexcept override { return kPluginVersion; }
    const char* getPluginNamespace() const noexcept override { return kPluginNamespace; }

  private:
    static const PluginField* find(const PluginFieldCollection* fields, const std::string& name) {
        for (int32_t i = 0; i < fields->nbFields; ++i) {
            const PluginField& field = fields->fields[i];
            if (name == field.name && field.type == PluginFieldType::kINT32 && field.length == 1 &&
                field.data != nullptr) {
                return &field;
            }
        }
        return nullptr;
    }

    std::array<PluginField, Op::attributes().size()> fields_;
    PluginFieldCollection field_collection_;
};

}  // namespace vpp
