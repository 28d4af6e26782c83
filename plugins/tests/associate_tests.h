#pragma once

#include <algorithm>
#include <random>
#include <string>

#include "../kernels/embedded.cuh"
#include "../kernels/vpp_kernels.h"
#include "device_array.h"
#include "half.h"
#include "references.h"

namespace associate_tests {

// kRandom: real numbers, compared up to rounding. kInteger: small integers and all keys at one place, so that products
// are exact, equal ones frequent, and the result must be the very index. kNotFinite: kInteger with NaN and infinities.
enum class Kind { kRandom, kInteger, kNotFinite };

struct Case {
    int batch, rows, columns, k, channels;
    vpp_dtype dtype;
    Kind kind;
    bool misaligned;

    int n() const { return rows * columns; }
    size_t element_bytes() const { return dtype == VPP_FLOAT32 ? 4 : 2; }
    std::string name() const {
        return "associate " + std::to_string(batch) + " x (" + std::to_string(rows) + " x " + std::to_string(columns) +
               "), " + std::to_string(k) + " keys, " + std::to_string(channels) + " channels, dtype " +
               std::to_string(dtype) + ", kind " + std::to_string(static_cast<int>(kind)) +
               (misaligned ? ", misaligned" : "");
    }
};

inline float rounded(float value, vpp_dtype dtype) {
    return dtype == VPP_FLOAT16    ? half::from_float16(half::to_float16(value))
           : dtype == VPP_BFLOAT16 ? half::from_bfloat16(half::to_bfloat16(value))
                                   : value;
}

inline std::vector<float> make_tokens(const Case& c, int count, std::mt19937& generator) {
    std::uniform_real_distribution<float> uniform(-1, 1);
    std::vector<float> tokens(static_cast<size_t>(count) * c.channels);
    for (float& value : tokens) {
        value = c.kind == Kind::kRandom ? rounded(uniform(generator), c.dtype) : static_cast<int>(generator() % 5) - 2;
    }
    if (c.kind == Kind::kNotFinite) {
        for (int row = 0; row < count; ++row) {
            float& value = tokens[static_cast<size_t>(row) * c.channels + generator() % c.channels];
            const unsigned choice = generator() % 8;
            if (choice < 3)
                value = choice == 0 ? NAN : choice == 1 ? INFINITY : -INFINITY;
        }
    }
    return tokens;
}

inline std::vector<uint8_t> to_bytes(const std::vector<float>& values, vpp_dtype dtype) {
    std::vector<uint8_t> bytes(values.size() * (dtype == VPP_FLOAT32 ? 4 : 2));
    for (size_t i = 0; i < values.size(); ++i) {
        if (dtype == VPP_FLOAT32) {
            std::memcpy(&bytes[4 * i], &values[i], 4);
        } else {
            const uint16_t bits = dtype == VPP_FLOAT16 ? half::to_float16(values[i]) : half::to_bfloat16(values[i]);
            std::memcpy(&bytes[2 * i], &bits, 2);
        }
    }
    return bytes;
}

inline void check(const Case& c, const std::vector<reference::Association>& problems,
                  const std::vector<int32_t>& result, int every, const std::string& what) {
    for (int item = 0; item < c.batch; ++item) {
        for (int query = item % every; query < c.n(); query += every) {
            const int index = result[static_cast<size_t>(item) * c.n() + query];
            CHECK(0 <= index && index < c.k, "%s: query %d of item %d: %d", what.c_str(), query, item, index);
            int expected = 0;
            double best = NAN;
            for (int key = 0; key < c.k; ++key) {
                const double similarity = problems[item].similarity(query, key);
                if (similarity > best || (std::isnan(best) && !std::isnan(similarity)))
                    best = similarity, expected = key;
            }
            if (index == expected)
                continue;
            const double deficit = best - problems[item].similarity(query, index);
            const double tolerance = c.kind == Kind::kRandom ? 1e-6 * (c.channels + 10) : 0;
            CHECK(deficit < tolerance, "%s: query %d of item %d: %d, not %d, better by %g", what.c_str(), query, item,
                  index, expected, deficit);
        }
    }
}

// Compares every `every`-th query.
inline void test(const Case& c, int every = 1) {
    std::mt19937 generator(c.n() + c.k * 7 + c.channels);
    std::vector<reference::Association> problems(c.batch);
    std::vector<float> queries, keys;
    std::vector<int32_t> positions;
    for (auto& problem : problems) {
        problem = {make_tokens(c, c.n(), generator), make_tokens(c, c.k, generator), {}, c.rows, c.columns, c.channels};
        const auto place = static_cast<int32_t>(generator() % c.n());
        for (int key = 0; key < c.k; ++key) {
            problem.key_positions.push_back(c.kind == Kind::kRandom ? static_cast<int32_t>(generator() % c.n())
                                                                    : place);
        }
        queries.insert(queries.end(), problem.queries.begin(), problem.queries.end());
        keys.insert(keys.end(), problem.keys.begin(), problem.keys.end());
        positions.insert(positions.end(), problem.key_positions.begin(), problem.key_positions.end());
    }
    const std::string what = c.name();
    const size_t misalignment = c.misaligned ? c.element_bytes() : 0;
    const DeviceArray<uint8_t> device_queries(to_bytes(queries, c.dtype), misalignment);
    const DeviceArray<uint8_t> device_keys(to_bytes(keys, c.dtype), misalignment);
    const DeviceArray<int32_t> device_positions(positions);
    const size_t count = static_cast<size_t>(c.batch) * c.n();

    const DeviceArray<int32_t> source(count), embedded(count);
    const size_t bytes = vpp_associate_workspace_bytes(c.batch, c.rows, c.columns, c.k, c.channels, c.dtype);
    const DeviceArray<uint8_t> workspace(bytes);
    run_captured(
        [&](cudaStream_t stream) {
            return vpp_associate(device_queries.data(), device_keys.data(), device_positions.data(), source.data(),
                                 c.batch, c.rows, c.columns, c.k, c.channels, c.dtype, workspace.data(), bytes, stream);
        },
        what.c_str());
    check(c, problems, source.read(what.c_str()), every, what);
    workspace.read(what.c_str());

    const auto kernel = c.dtype == VPP_FLOAT32   ? vpp_associate_parts_embedded_f32
                        : c.dtype == VPP_FLOAT16 ? vpp_associate_parts_embedded_f16
                                                 : vpp_associate_parts_embedded_bf16;
    const int parts = std::min((c.k + 63) / 64, 1 + c.k % 5);
    const DeviceArray<unsigned long long> candidates(count * parts);
    run_embedded(kernel, dim3((c.n() + 63) / 64, parts, c.batch), c.dtype == VPP_FLOAT32 ? 256 : 128, 0, what.c_str(),
                 device_queries.data(), device_keys.data(), device_positions.data(), c.k, c.channels, c.rows, c.columns,
                 candidates.data());
    run_embedded(vpp_associate_best_embedded, dim3((c.n() + 255) / 256, 1, c.batch), 256, 0, what.c_str(),
                 candidates.data(), parts, c.n(), embedded.data());
    candidates.read(what.c_str());
    check(c, problems, embedded.read(what.c_str()), every, what + ", embedded");
}

inline void test_errors() {
    const auto associate = [](int batch, int rows, int columns, int k, int channels, int dtype, size_t bytes) {
        return vpp_associate(nullptr, nullptr, nullptr, nullptr, batch, rows, columns, k, channels,
                             static_cast<vpp_dtype>(dtype), nullptr, bytes, test_stream());
    };
    for (const auto error :
         {associate(0, 2, 2, 2, 8, 0, 999), associate(1, 0, 2, 2, 8, 0, 999), associate(1, 2, 2, 0, 8, 0, 999),
          associate(1, 2, 2, 2, 0, 0, 999), associate(1, 2, 2, 2, 8, 3, 999), associate(1, 2, 2, 2, 8, 0, 31),
          associate(1, 65536, 65536, 2, 8, 0, 999)}) {
        CHECK(error == cudaErrorInvalidValue, "%d", error);
    }
}

inline void test_all(bool reduced) {
    test_errors();
    for (const vpp_dtype dtype : {VPP_FLOAT32, VPP_FLOAT16, VPP_BFLOAT16}) {
        test({1, 7, 1, 5, 8, dtype, Kind::kRandom, false});
        if (reduced && dtype == VPP_BFLOAT16)
            continue;  // float16's code but for one instruction
        for (const Kind kind : {Kind::kRandom, Kind::kInteger, Kind::kNotFinite}) {
            for (const bool misaligned : {false, true}) {
                test({1, 1, 1, 1, 1, dtype, kind, misaligned});
                test({1, 5, 14, 67, 40, dtype, kind, misaligned});
                test({2, 3, 11, 300, 33, dtype, kind, misaligned});
            }
        }
        test({1, 1, 7, 5, 3, dtype, Kind::kRandom, false});
        test({1, 2, 3, 6, 64, dtype, Kind::kInteger, false});
        test({50, 1, 129, 130, 24, dtype, Kind::kInteger, false}, 5);  // large tiles
        if (reduced)
            continue;
        test({700, 2, 2, 300, 40, dtype, Kind::kRandom, false});  // several large tiles of keys per block
        for (const int batch : {1, 8}) {
            for (const int channels : {192, 384}) {
                for (const Kind kind : {Kind::kRandom, Kind::kInteger}) {
                    test({batch, 24, 40, 480, channels, dtype, kind, false}, 17);
                    test({batch, 34, 60, 1020, channels, dtype, kind, false}, 67);
                    test({batch, 45, 80, 2000, channels, dtype, kind, false}, 131);
                }
            }
        }
        test({1, 45, 80, 3600, 100, dtype, Kind::kRandom, true}, 131);
        test({1, 256, 256, 5000, 64, dtype, Kind::kInteger, false}, 4001);
    }
}

}  // namespace associate_tests
