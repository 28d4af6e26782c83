#include <vector>

#include "check.hpp"
#include "vpp/error.hpp"
#include "vpp/tensor.hpp"

int main() {
    using vpp::DType;
    using vpp::Tensor;
    CHECK(vpp::byte_count(DType::Float16, {3, 5}) == 30);
    CHECK(vpp::byte_count(DType::Int32, {}) == 4);
    CHECK(vpp::byte_count(DType::UInt8, {0, 7}) == 0);
    constexpr std::int64_t kLong = 2'000'000'000;
    CHECK_THROWS(vpp::byte_count(DType::Float32, {kLong, kLong, kLong}), vpp::UsageError, "that memory can hold");
    CHECK_THROWS(vpp::byte_count(DType::Float32, {-1}), vpp::UsageError, "a tensor of float32 [-1]");

    Tensor tensor(DType::Int32, {2, 2});
    tensor.assign<std::int32_t>({5, 6, 7});
    CHECK((tensor.values<std::int32_t>() == std::vector<std::int32_t>{5, 6, 7, 0}));
    CHECK_THROWS(tensor.values<float>(), vpp::UsageError, "a tensor of int32 [2, 2] has no float32 elements");
    CHECK_THROWS(tensor.assign(std::vector<std::int32_t>(5)), vpp::UsageError, "has 16 bytes, not 20");
    CHECK_THROWS(Tensor(DType::Float32, {1}, {1, 2, 3}), vpp::UsageError, "cannot have 3 bytes; give 4");
    return vpp::test::failures();
}
