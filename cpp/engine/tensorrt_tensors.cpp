#include "tensorrt_tensors.hpp"

#include <map>
#include <string>

#include "vpp/error.hpp"
#include "vpp/tensor.hpp"

namespace vpp {
namespace {

/// Direction, dtype and shape of each tensor, in words.
using Descriptions = std::map<std::string, std::string>;

std::string words_of(nvinfer1::DataType dtype, const nvinfer1::Dims& dims) {
    const Shape shape(dims.d, dims.d + (dims.nbDims > 0 ? dims.nbDims : 0));
    switch (dtype) {
        case nvinfer1::DataType::kFLOAT:
            return describe(DType::Float32, shape);
        case nvinfer1::DataType::kHALF:
            return describe(DType::Float16, shape);
        case nvinfer1::DataType::kINT32:
            return describe(DType::Int32, shape);
        case nvinfer1::DataType::kUINT8:
            return describe(DType::UInt8, shape);
        case nvinfer1::DataType::kBOOL:
            return describe(DType::Bool, shape);
        default:
            return "of TensorRT's type " + std::to_string(static_cast<int>(dtype));
    }
}

Descriptions found_in(const nvinfer1::ICudaEngine& engine) {
    Descriptions found;
    for (int index = 0; index < engine.getNbIOTensors(); ++index) {
        const char* name = engine.getIOTensorName(index);
        const bool is_input = engine.getTensorIOMode(name) == nvinfer1::TensorIOMode::kINPUT;
        const bool is_on_host = engine.getTensorLocation(name) == nvinfer1::TensorLocation::kHOST;
        found[name] = std::string(is_input ? "an input, " : "an output, ") +
                      words_of(engine.getTensorDataType(name), engine.getTensorShape(name)) +
                      (is_on_host ? " in host memory" : "");
    }
    return found;
}

template <class Spec>
std::string words_of(const char* direction, const Spec& spec) {
    return direction + describe(spec.dtype, spec.shape);
}

Descriptions expected_by(const Manifest& manifest, GraphRole phase) {
    Descriptions expected;
    for (const TensorSpec& spec : manifest.graph(phase).inputs) {
        expected[spec.name] = words_of("an input, ", spec);
    }
    for (const TensorSpec& spec : manifest.graph(phase).outputs) {
        expected[spec.name] = words_of("an output, ", spec);
    }
    for (const StateSpec& spec : manifest.state) {
        expected[spec.output] = words_of("an output, ", spec);
        if (phase == GraphRole::Step) {
            expected[spec.input] = words_of("an input, ", spec);
        }
    }
    return expected;
}

}  // namespace

void check_tensors(const nvinfer1::ICudaEngine& engine, const Manifest& manifest, GraphRole phase,
                   const std::filesystem::path& path) {
    const Descriptions found = found_in(engine);
    const Descriptions expected = expected_by(manifest, phase);
    Descriptions all = found;
    all.insert(expected.begin(), expected.end());
    for (const auto& [name, ignored] : all) {
        const auto ours = found.find(name);
        const auto theirs = expected.find(name);
        const std::string is = ours == found.end() ? "not there" : ours->second;
        const std::string should = theirs == expected.end() ? "not there" : theirs->second;
        if (is != should) {
            throw EngineError(path.string() + ": tensor " + name + " is " + is + ", the manifest says " + should +
                              "; build the engine again");
        }
    }
}

}  // namespace vpp
