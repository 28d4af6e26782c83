#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "vpp/manifest.hpp"

namespace vpp {

using Shape = std::vector<std::int64_t>;

/// Bytes that a tensor takes up.
///
/// @throws UsageError a length is negative, or the tensor has 2^40 bytes or more.
std::size_t byte_count(DType dtype, const Shape& shape);

/// Dtype and shape in words, e.g. "float32 [3, 4]".
std::string describe(DType dtype, const Shape& shape);

/// A tensor in host memory, row by row without gaps.
class Tensor {
  public:
    /// A tensor of zeros.
    ///
    /// @throws UsageError see `byte_count`.
    Tensor(DType dtype, Shape shape);

    /// @param bytes the elements; for Bool, one byte of 0 or 1 each.
    /// @throws UsageError `bytes` has another length than dtype and shape say.
    Tensor(DType dtype, Shape shape, std::vector<std::uint8_t> bytes);

    DType dtype() const { return dtype_; }
    const Shape& shape() const { return shape_; }
    const std::uint8_t* data() const { return bytes_.data(); }
    std::uint8_t* data() { return bytes_.data(); }
    std::size_t bytes() const { return bytes_.size(); }

    /// A copy of the elements.
    ///
    /// @tparam Element float, std::int32_t or std::uint8_t.
    /// @throws UsageError the dtype is not Float32, Int32 or UInt8, as `Element` would have it.
    template <class Element>
    std::vector<Element> values() const {
        require(dtype_of<Element>());
        std::vector<Element> elements(bytes_.size() / sizeof(Element));
        if (!elements.empty()) {
            std::memcpy(elements.data(), bytes_.data(), bytes_.size());
        }
        return elements;
    }

    /// Overwrite the first elements; types and errors as `values`.
    ///
    /// @throws UsageError there are more than the tensor has.
    template <class Element>
    void assign(const std::vector<Element>& elements) {
        require(dtype_of<Element>());
        require_room(elements.size() * sizeof(Element));
        if (!elements.empty()) {
            std::memcpy(bytes_.data(), elements.data(), elements.size() * sizeof(Element));
        }
    }

  private:
    template <class Element>
    static constexpr DType dtype_of() {
        static_assert(std::is_same_v<Element, float> || std::is_same_v<Element, std::int32_t> ||
                      std::is_same_v<Element, std::uint8_t>);
        if (std::is_same_v<Element, float>) {
            return DType::Float32;
        }
        return std::is_same_v<Element, std::int32_t> ? DType::Int32 : DType::UInt8;
    }
    void require(DType dtype) const;
    void require_room(std::size_t bytes) const;

    DType dtype_;
    Shape shape_;
    std::vector<std::uint8_t> bytes_;
};

/// Tensors by the names that the manifest gives them.
using Tensors = std::map<std::string, Tensor>;

/// Tensors that are handed on without being copied.
using SharedTensors = std::map<std::string, std::shared_ptr<const Tensor>>;

}  // namespace vpp
