#pragma once

#include <cfloat>
#include <random>
#include <string>

#include "../kernels/embedded.cuh"
#include "../kernels/vpp_kernels.h"
#include "device_array.h"
#include "references.h"

namespace select_tests {

enum class Kind { kNormal, kUnit, kEqual, kSpecial, kFewValues, kAscending, kAllNan };
enum class Mask { kNone, kAllInactive, kFewActive, kHalf };

inline std::vector<float> make_scores(Kind kind, int n, std::mt19937& generator) {
    static const float special[] = {NAN, INFINITY, -INFINITY, 0.0f, -0.0f, FLT_MAX, -FLT_MAX, 1e-45f, -1e-45f, 1, -1};
    std::normal_distribution<float> normal;
    std::uniform_real_distribution<float> unit;
    std::vector<float> scores(n);
    for (int i = 0; i < n; ++i) {
        switch (kind) {
            case Kind::kNormal:
                scores[i] = normal(generator);
                break;
            case Kind::kUnit:
                scores[i] = unit(generator);
                break;
            case Kind::kEqual:
                scores[i] = 0.25f;
                break;
            case Kind::kSpecial:
                scores[i] = special[generator() % (sizeof special / sizeof *special)];
                break;
            case Kind::kFewValues:
                scores[i] = static_cast<float>(generator() % 5);
                break;
            case Kind::kAscending:
                scores[i] = static_cast<float>(i);
                break;
            case Kind::kAllNan:
                scores[i] = NAN;
                break;
        }
    }
    return scores;
}

inline std::vector<uint8_t> make_mask(Mask mask, int n, std::mt19937& generator) {
    if (mask == Mask::kNone)
        return {};
    std::vector<uint8_t> active(n, 0);
    for (int i = 0; i < n; ++i) {
        if (mask == Mask::kHalf)
            active[i] = generator() % 2;
        if (mask == Mask::kFewActive)
            active[i] = generator() % 50 == 0 ? 255 : 0;
    }
    return active;
}

inline void check(const std::vector<int32_t>& result, const std::vector<int32_t>& expected, const std::string& what) {
    for (size_t i = 0; i < expected.size(); ++i) {
        CHECK(result[i] == expected[i], "%s: %d at %zu, not %d", what.c_str(), result[i], i, expected[i]);
    }
}

inline void test(int batch, int n, int k, Kind kind, Mask mask) {
    std::mt19937 generator(n * 31 + k);
    std::vector<float> scores;
    std::vector<uint8_t> active;
    std::vector<int32_t> expected[2];
    for (int item = 0; item < batch; ++item) {
        const auto item_scores = make_scores(kind, n, generator);
        const auto item_active = make_mask(mask, n, generator);
        scores.insert(scores.end(), item_scores.begin(), item_scores.end());
        active.insert(active.end(), item_active.begin(), item_active.end());
        for (const bool by_score : {false, true}) {
            const auto selected = reference::select(item_scores, item_active, k, by_score);
            expected[by_score].insert(expected[by_score].end(), selected.begin(), selected.end());
        }
    }
    const DeviceArray<float> device_scores(scores);
    const DeviceArray<uint8_t> device_active(active, 1);
    const DeviceArray<uint8_t> all_active(std::vector<uint8_t>(scores.size(), 1));
    for (const bool by_score : {false, true}) {
        const std::string what = "select " + std::to_string(batch) + " x " + std::to_string(k) + " of " +
                                 std::to_string(n) + ", scores " + std::to_string(static_cast<int>(kind)) + ", mask " +
                                 std::to_string(static_cast<int>(mask)) + (by_score ? ", by score" : ", by position");
        const DeviceArray<int32_t> indices(static_cast<size_t>(batch) * k);
        const size_t bytes = vpp_select_workspace_bytes(batch, n, k, by_score);
        const DeviceArray<uint8_t> workspace(bytes);
        run_captured(
            [&](cudaStream_t stream) {
                return vpp_select(device_scores.data(), active.empty() ? nullptr : device_active.data(), indices.data(),
                                  batch, n, k, by_score, workspace.data(), bytes, stream);
            },
            what.c_str());
        check(indices.read(what.c_str()), expected[by_score], what);
        workspace.read(what.c_str());

        if (by_score && k > 4096)
            continue;
        const DeviceArray<int32_t> embedded(static_cast<size_t>(batch) * k);
        run_embedded(by_score ? vpp_select_by_score_embedded : vpp_select_embedded, dim3(batch), 1024,
                     by_score ? 2 * k : 0, what.c_str(), device_scores.data(),
                     active.empty() ? all_active.data() : device_active.data(), n, k, embedded.data());
        check(embedded.read(what.c_str()), expected[by_score], what + ", embedded");
    }
}

inline void test_errors() {
    const auto select = [](int batch, int n, int k) {
        return vpp_select(nullptr, nullptr, nullptr, batch, n, k, 1, nullptr, 0, test_stream());
    };
    for (const auto error : {select(0, 4, 2), select(1, 4, 0), select(1, 4, 5), select(1, 65537, 1), select(1, 4, 2)}) {
        CHECK(error == cudaErrorInvalidValue, "%d", error);
    }
}

inline void test_all(bool reduced) {
    constexpr Kind kKinds[] = {Kind::kNormal,    Kind::kUnit,      Kind::kEqual, Kind::kSpecial,
                               Kind::kFewValues, Kind::kAscending, Kind::kAllNan};
    constexpr Mask kMasks[] = {Mask::kNone, Mask::kAllInactive, Mask::kFewActive, Mask::kHalf};
    test_errors();
    const std::vector<int> sizes =
        reduced ? std::vector<int>{1, 33, 960} : std::vector<int>{1, 2, 31, 32, 33, 960, 1024, 1025, 2040, 3600, 4097};
    for (const int n : sizes) {
        for (const int k : reduced ? std::vector<int>{(n + 1) / 2} : std::vector<int>{1, (n + 1) / 2, n}) {
            for (const Kind kind : kKinds) {
                for (const Mask mask : kMasks)
                    test(reduced || n % 2 ? 1 : 8, n, k, kind, mask);
            }
        }
    }
    for (const int k : {1, 2000, 3600})
        test(2, 3600, k, Kind::kUnit, Mask::kHalf);
    if (reduced)
        return;
    for (const Kind kind : kKinds) {
        for (const int k : {1, 4096, 30000, 65536})
            test(2, 65536, k, kind, Mask::kHalf);
    }
}

}  // namespace select_tests
