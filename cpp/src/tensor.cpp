#include "vpp/tensor.hpp"

#include <utility>

#include "vpp/error.hpp"

namespace vpp {
namespace {

std::size_t element_bytes(DType dtype) {
    switch (dtype) {
        case DType::Float32:
        case DType::Int32:
            return 4;
        case DType::Float16:
            return 2;
        case DType::UInt8:
        case DType::Bool:
            break;
    }
    return 1;
}

}  // namespace

std::size_t byte_count(DType dtype, const Shape& shape) {
    constexpr std::size_t kMost = std::size_t{1} << 40;
    std::size_t bytes = element_bytes(dtype);
    for (const std::int64_t length : shape) {
        if (length < 0 || (length > 0 && bytes > kMost / static_cast<std::size_t>(length))) {
            throw UsageError("a tensor of " + describe(dtype, shape) + ": give lengths that memory can hold");
        }
        bytes *= static_cast<std::size_t>(length);
    }
    return bytes;
}

std::string describe(DType dtype, const Shape& shape) {
    std::string text = std::string(name_of(dtype)) + " [";
    for (std::size_t axis = 0; axis < shape.size(); ++axis) {
        text += (axis > 0 ? ", " : "") + std::to_string(shape[axis]);
    }
    return text + "]";
}

Tensor::Tensor(DType dtype, Shape shape)
    : dtype_(dtype), shape_(std::move(shape)), bytes_(byte_count(dtype_, shape_)) {}

Tensor::Tensor(DType dtype, Shape shape, std::vector<std::uint8_t> bytes)
    : dtype_(dtype), shape_(std::move(shape)), bytes_(std::move(bytes)) {
    if (bytes_.size() != byte_count(dtype_, shape_)) {
        throw UsageError("a tensor of " + describe(dtype_, shape_) + " cannot have " + std::to_string(bytes_.size()) +
                         " bytes; give " + std::to_string(byte_count(dtype_, shape_)));
    }
}

void Tensor::require(DType dtype) const {
    if (dtype != dtype_) {
        throw UsageError("a tensor of " + describe(dtype_, shape_) + " has no " + name_of(dtype) +
                         " elements; use the type that it has");
    }
}

void Tensor::require_room(std::size_t bytes) const {
    if (bytes > bytes_.size()) {
        throw UsageError("a tensor of " + describe(dtype_, shape_) + " has " + std::to_string(bytes_.size()) +
                         " bytes, not " + std::to_string(bytes) + "; give fewer elements");
    }
}

}  // namespace vpp
