#pragma once

#include <algorithm>
#include <numeric>
#include <random>
#include <string>

#include "../kernels/common.h"
#include "../kernels/embedded.cuh"
#include "../kernels/vpp_kernels.h"
#include "device_array.h"
#include "references.h"

namespace rows_tests {

struct Case {
    int batch, n, k, channels;
    vpp_dtype dtype;
    size_t misalignment;  // bytes
    bool out_of_range;    // some of the indices

    int element_bytes() const { return dtype == VPP_FLOAT32 ? 4 : 2; }
    std::string name(const char* op) const {
        return std::string(op) + " " + std::to_string(batch) + " x " + std::to_string(k) + " of " + std::to_string(n) +
               " x " + std::to_string(channels) + ", " + std::to_string(element_bytes()) +
               "-byte elements, misaligned by " + std::to_string(misalignment) +
               (out_of_range ? ", indices out of range" : "");
    }
};

inline std::vector<uint8_t> random_bytes(size_t count, std::mt19937& generator) {
    std::vector<uint8_t> bytes(count);
    for (uint8_t& byte : bytes)
        byte = static_cast<uint8_t>(generator());
    return bytes;
}

inline std::vector<int32_t> random_indices(const Case& c, std::mt19937& generator) {
    std::vector<int32_t> all(c.n);
    std::iota(all.begin(), all.end(), 0);
    std::shuffle(all.begin(), all.end(), generator);
    all.resize(c.k);
    if (c.out_of_range) {
        const int32_t bad[] = {-1, c.n, INT32_MIN, INT32_MAX};
        for (int i = 0; i < c.k; i += 3)
            all[i] = bad[i / 3 % 4];
    }
    return all;
}

inline void check(const DeviceArray<uint8_t>& result, const std::vector<uint8_t>& expected, const std::string& what) {
    const auto bytes = result.read(what.c_str());
    for (size_t i = 0; i < expected.size(); ++i) {
        CHECK(bytes[i] == expected[i], "%s: byte %zu is %d, not %d", what.c_str(), i, bytes[i], expected[i]);
    }
}

inline void append(std::vector<uint8_t>& all, const std::vector<uint8_t>& item) {
    all.insert(all.end(), item.begin(), item.end());
}

inline void test(const Case& c) {
    std::mt19937 generator(c.n + c.channels);
    const size_t row_bytes = static_cast<size_t>(c.channels) * c.element_bytes();
    std::vector<uint8_t> base, tokens, gathered, scattered;
    std::vector<int32_t> indices;
    for (int item = 0; item < c.batch; ++item) {
        const auto item_base = random_bytes(c.n * row_bytes, generator);
        const auto item_tokens = random_bytes(c.k * row_bytes, generator);
        const auto item_indices = random_indices(c, generator);
        append(base, item_base);
        append(tokens, item_tokens);
        append(gathered, reference::gather(item_base, item_indices, row_bytes));
        append(scattered, reference::scatter(item_base, item_indices, item_tokens, row_bytes));
        indices.insert(indices.end(), item_indices.begin(), item_indices.end());
    }
    const DeviceArray<uint8_t> device_base(base, c.misalignment), device_tokens(tokens, c.misalignment);
    const DeviceArray<int32_t> device_indices(indices);
    const auto f32 = c.dtype == VPP_FLOAT32;

    {
        const std::string what = c.name("gather");
        const DeviceArray<uint8_t> result(gathered.size(), c.misalignment), embedded(gathered.size(), c.misalignment);
        run_captured(
            [&](cudaStream_t stream) {
                return vpp_gather(device_base.data(), device_indices.data(), result.data(), c.batch, c.n, c.k,
                                  c.channels, c.dtype, nullptr, 0, stream);
            },
            what.c_str());
        check(result, gathered, what);
        run_embedded(f32 ? vpp_gather_embedded_f32 : vpp_gather_embedded_f16, dim3(c.k % 3 + 1, c.batch), 256, 0,
                     what.c_str(), device_base.data(), device_indices.data(), c.n, c.k, c.channels, embedded.data());
        check(embedded, gathered, what + ", embedded");
    }
    const std::string what = c.name("scatter");
    const auto scatter = [&](const DeviceArray<uint8_t>& from, const DeviceArray<uint8_t>& to) {
        run_captured(
            [&](cudaStream_t stream) {
                return vpp_scatter(from.data(), device_indices.data(), device_tokens.data(), to.data(), c.batch, c.n,
                                   c.k, c.channels, c.dtype, nullptr, 0, stream);
            },
            what.c_str());
    };
    const DeviceArray<uint8_t> result(base.size(), c.misalignment), in_place(base, c.misalignment);
    scatter(device_base, result);
    check(result, scattered, what);
    scatter(in_place, in_place);
    check(in_place, scattered, what + ", in place");

    const auto scatter_embedded = [&](const DeviceArray<uint8_t>& from, const DeviceArray<uint8_t>& to, int blocks) {
        run_embedded(f32 ? vpp_scatter_embedded_f32 : vpp_scatter_embedded_f16, dim3(blocks, c.batch), 256, 0,
                     what.c_str(), from.data(), device_indices.data(), device_tokens.data(), c.n, c.k, c.channels,
                     to.data());
    };
    const int rows = vpp::scatter_rows_per_block(c.k, static_cast<int>(row_bytes));
    for (const int blocks : {1, vpp::ceil_div(c.n, rows)}) {
        const DeviceArray<uint8_t> embedded(base.size(), c.misalignment), embedded_in_place(base, c.misalignment);
        scatter_embedded(device_base, embedded, blocks);
        check(embedded, scattered, what + ", embedded");
        scatter_embedded(embedded_in_place, embedded_in_place, blocks);
        check(embedded_in_place, scattered, what + ", embedded, in place");
    }
}

inline void test_repeated_indices() {
    std::vector<uint8_t> base(40 * 4), tokens(30 * 4);
    std::iota(tokens.begin(), tokens.end(), 1);
    const std::vector<int32_t> indices(30, 7);
    const DeviceArray<uint8_t> device_base(base), device_tokens(tokens), result(base.size());
    const DeviceArray<int32_t> device_indices(indices);
    run_captured(
        [&](cudaStream_t stream) {
            return vpp_scatter(device_base.data(), device_indices.data(), device_tokens.data(), result.data(), 1, 40,
                               30, 1, VPP_FLOAT32, nullptr, 0, stream);
        },
        "scatter, repeated index");
    check(result, reference::scatter(base, indices, tokens, 4), "scatter, repeated index");
}

inline void test_errors() {
    const auto gather = [](int batch, int n, int k, int channels, int dtype) {
        return vpp_gather(nullptr, nullptr, nullptr, batch, n, k, channels, static_cast<vpp_dtype>(dtype), nullptr, 0,
                          test_stream());
    };
    for (const auto error : {gather(0, 4, 2, 8, 0), gather(1, 0, 2, 8, 0), gather(1, 4, 0, 8, 0), gather(1, 4, 2, 0, 0),
                             gather(1, 4, 2, 8, 3), gather(65536, 4, 2, 8, 0), gather(1, 1 << 30, 2, 8, 0)}) {
        CHECK(error == cudaErrorInvalidValue, "%d", error);
    }
}

inline void test_all(bool reduced) {
    test_errors();
    test_repeated_indices();
    for (const vpp_dtype dtype : {VPP_FLOAT32, VPP_FLOAT16}) {
        const size_t element = dtype == VPP_FLOAT32 ? 4 : 2;
        for (const int channels : {1, 3, 7, 8, 96, 385}) {
            for (const size_t misalignment : {size_t{0}, element, size_t{8}}) {
                for (const bool out_of_range : {false, true}) {
                    test({1, 1, 1, channels, dtype, misalignment, out_of_range});
                    test({3, 37, 11, channels, dtype, misalignment, out_of_range});
                }
            }
        }
        test({1, 5000, 1234, 16, dtype, 0, true});  // several chunks of rows per block
        test({2, 300, 300, 40, dtype, 0, false});
        if (reduced)
            continue;
        for (const int n : {960, 2040, 3600}) {
            for (const int channels : {192, 384}) {
                for (const int batch : {1, 8}) {
                    for (const int k : {1, n / 2, n})
                        test({batch, n, k, channels, dtype, 0, false});
                }
            }
        }
        test({1, 65536, 40000, 64, dtype, 0, false});
    }
    test({2, 37, 11, 24, VPP_BFLOAT16, 0, false});
}

}  // namespace rows_tests
