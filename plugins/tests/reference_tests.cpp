// Tests without a GPU or CUDA: the CPU references and everything in kernels/common.h, against brute force.
#include <cfloat>
#include <climits>
#include <random>
#include <set>

#include "../kernels/common.h"
#include "check.h"
#include "half.h"
#include "references.h"

namespace {

std::mt19937 generator(20260);

float float_of(uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

const std::vector<float> kSpecial{NAN,    -NAN,    INFINITY, -INFINITY, 0.0f, -0.0f, FLT_MAX, -FLT_MAX,
                                  1e-45f, -1e-45f, FLT_MIN,  -FLT_MIN,  1.0f, -1.0f, 1.5f,    0.5f};

// The order by definition: -1, 0, 1 for a below, equal to, above b.
int compare(float a, float b) {
    if (std::isnan(a) || std::isnan(b))
        return int(std::isnan(b)) - int(std::isnan(a));
    return (a > b) - (a < b);
}

void test_score_key() {
    std::vector<float> values(kSpecial);
    for (int i = 0; i < 3000; ++i)
        values.push_back(float_of(generator()));
    for (const float a : values) {
        for (const float b : values) {
            const uint32_t key_a = vpp::score_key(a), key_b = vpp::score_key(b);
            CHECK((key_a > key_b) - (key_a < key_b) == compare(a, b), "%g and %g", a, b);
        }
    }
    CHECK(vpp::score_key(-FLT_MAX) == vpp::kInactiveKey, "%x", vpp::score_key(-FLT_MAX));
}

void test_upper_bits() {
    CHECK(vpp::upper_bits(0xFFFFFFFFu, 32) == 0, "shift 32");
    CHECK(vpp::upper_bits(0xFFFFFFFFu, 0) == 0xFFFFFFFFu, "shift 0");
    CHECK(vpp::upper_bits(0x12345678u, 21) == 0x91u, "shift 21");
}

void test_candidates() {
    for (const float a : kSpecial) {
        for (const float b : kSpecial) {
            for (const int i : {0, 1, 65535, INT_MAX - 1}) {
                for (const int j : {0, 1, 65535, INT_MAX - 1}) {
                    const bool better = compare(a, b) > 0 || (compare(a, b) == 0 && i < j);
                    CHECK((vpp::pack_candidate(a, i) > vpp::pack_candidate(b, j)) == better, "%g %d, %g %d", a, i, b,
                          j);
                }
            }
        }
        if (std::isnan(a))
            continue;
        CHECK(vpp::pack_candidate(a, INT_MAX - 1) > 0, "%g", a);
        CHECK(vpp::candidate_index(vpp::pack_candidate(a, 4711)) == 4711, "%g", a);
        CHECK(vpp::candidate_similarity(vpp::pack_candidate(a, 4711)) == a, "%g", a);
    }
    CHECK(vpp::candidate_index(0) == 0 && vpp::candidate_similarity(0) == -INFINITY, "no candidate");
}

void test_positional_bias() {
    for (const auto& [rows, columns] :
         std::vector<std::pair<int, int>>{{1, 1}, {1, 7}, {7, 1}, {2, 2}, {5, 3}, {24, 40}}) {
        for (int a = 0; a < rows * columns; ++a) {
            for (int b = 0; b < rows * columns; ++b) {
                const float bias =
                    vpp::positional_bias(vpp::grid_place(a, rows, columns), vpp::grid_place(b, rows, columns));
                const double expected = reference::positional_term(a, b, rows, columns);
                const double tolerance =
                    expected > -1 ? 2e-6 : 0.5;  // opposite corners: log10 of the rounding of 2 - d
                CHECK(std::fabs(bias - expected) < tolerance, "%d x %d, %d and %d: %g, not %g", rows, columns, a, b,
                      bias, expected);
                CHECK(bias < vpp::kBiasBound, "%g", bias);
            }
        }
    }
}

void test_warp_segments() {
    for (int count = 1; count < 5000; count += 7) {
        int end = 0;
        for (int part = 0; part < 32; ++part) {
            const vpp::Segment segment = vpp::warp_segment(count, part, 32);
            CHECK(segment.begin == end && segment.begin <= segment.end, "%d: part %d", count, part);
            CHECK(segment.begin % 32 == 0 || segment.begin == segment.end, "%d: part %d", count, part);
            end = segment.end;
        }
        CHECK(end == count, "%d: %d", count, end);
    }
    CHECK(vpp::warp_segment(65536, 31, 32).end == 65536, "65536");
}

void test_ceil_div() {
    for (int value = 0; value < 200; ++value) {
        for (int divisor = 1; divisor < 50; ++divisor) {
            int expected = 0;
            while (expected * divisor < value)
                ++expected;
            CHECK(vpp::ceil_div(value, divisor) == expected, "%d, %d", value, divisor);
        }
    }
    CHECK(vpp::ceil_div(INT_MAX, 128) == 16777216, "no overflow");
}

void test_vector_bytes() {
    for (uint64_t address = 0; address < 64; address += 2) {
        for (int row_bytes = 2; row_bytes < 200; row_bytes += 2) {
            const int bytes = vpp::vector_bytes(address, row_bytes);
            CHECK(address % bytes == 0 && row_bytes % bytes == 0, "%d", bytes);
            CHECK(bytes == 16 || address % (2 * bytes) != 0 || row_bytes % (2 * bytes) != 0, "%d is not the widest",
                  bytes);
        }
    }
}

void test_scatter_rows_per_block() {
    for (const int k : {1, 100, 2048, 2049, 32768, 1 << 24}) {
        for (const int row_bytes : {2, 30, 384, 768, 1536, 1 << 20}) {
            const int rows = vpp::scatter_rows_per_block(k, row_bytes);
            CHECK(1 <= rows && rows <= vpp::kScatterMapRows, "%d", rows);
            CHECK(rows == vpp::kScatterMapRows || int64_t{rows} * row_bytes >= int64_t{16} * k, "k %d: %d rows", k,
                  rows);
        }
    }
}

// ldmatrix reads eight rows of 16 bytes at once: they must cover the 128 bytes of all banks; and no chunk may be lost.
void test_swizzle() {
    for (int row0 = 0; row0 < 64; row0 += 8) {
        for (int chunk = 0; chunk < 4; ++chunk) {
            std::set<int> banks;
            for (int row = row0; row < row0 + 8; ++row)
                banks.insert(vpp::swizzled_offset(row, chunk) * 2 % 128);
            CHECK(banks.size() == 8, "rows from %d, chunk %d", row0, chunk);
        }
    }
    std::set<int> offsets;
    for (int row = 0; row < 64; ++row) {
        for (int chunk = 0; chunk < 4; ++chunk)
            offsets.insert(vpp::swizzled_offset(row, chunk));
    }
    CHECK(offsets.size() == 256 && *offsets.begin() == 0 && *offsets.rbegin() == 255 * 8,
          "a permutation of the chunks");
}

void test_associate_plan() {
    for (const int batch : {1, 8, 64}) {
        for (const int n : {1, 64, 960, 2040, 3600, 65536}) {
            for (const int k : {1, 64, 65, 500, 2000, 65536}) {
                const vpp::AssociatePlan plan = vpp::associate_plan(batch, n, k);
                CHECK(plan.tile == 64 || plan.tile == 128, "%d", plan.tile);
                CHECK(plan.query_tiles * plan.tile >= n && (plan.query_tiles - 1) * plan.tile < n, "%d", n);
                const int key_tiles = vpp::ceil_div(k, plan.tile);
                CHECK(1 <= plan.splits && plan.splits <= key_tiles && plan.splits <= 65535, "%d, %d", n, k);
                CHECK(plan.splits * vpp::ceil_div(key_tiles, plan.splits) >= key_tiles, "%d, %d", n, k);
            }
        }
    }
    CHECK(vpp::associate_plan(1, 3600, 2000).query_tiles * vpp::associate_plan(1, 3600, 2000).splits >= 264,
          "fills a GPU");
}

void test_half() {
    for (int bits = 0; bits < 65536; ++bits) {
        const auto value = static_cast<uint16_t>(bits);
        const float float16 = half::from_float16(value), bfloat16 = half::from_bfloat16(value);
        CHECK(std::isnan(float16) || half::to_float16(float16) == value, "float16 %04x", bits);
        CHECK(std::isnan(bfloat16) || half::to_bfloat16(bfloat16) == value, "bfloat16 %04x", bits);
    }
    CHECK(half::from_float16(0x3C00) == 1.0f && half::from_float16(0x7BFF) == 65504.0f, "known values");
    for (int i = 0; i < 20000; ++i) {
        const float value = std::uniform_real_distribution<float>(-3, 3)(generator);
        const auto rounded = half::to_float16(value);
        const float error = std::fabs(half::from_float16(rounded) - value);
        for (const int step : {-1, 1}) {
            CHECK(error <= std::fabs(half::from_float16(static_cast<uint16_t>(rounded + step)) - value), "%g", value);
        }
    }
}

// Selecting one after the other.
void test_select_reference() {
    for (int round = 0; round < 300; ++round) {
        const int n = 1 + static_cast<int>(generator() % 30), k = 1 + static_cast<int>(generator() % n);
        std::vector<float> scores(n);
        for (float& score : scores)
            score = kSpecial[generator() % kSpecial.size()];
        std::vector<uint8_t> active;
        if (round % 2) {
            for (int i = 0; i < n; ++i)
                active.push_back(generator() % 3 == 0);
        }
        const auto value = [&](int i) { return active.empty() || active[i] ? scores[i] : -FLT_MAX; };
        std::vector<int32_t> expected;
        std::vector<bool> taken(n, false);
        while (static_cast<int>(expected.size()) < k) {
            int best = -1;
            for (int i = 0; i < n; ++i) {
                if (!taken[i] && (best < 0 || compare(value(i), value(best)) > 0))
                    best = i;
            }
            taken[best] = true;
            expected.push_back(best);
        }
        CHECK(reference::select(scores, active, k, true) == expected, "n %d, k %d", n, k);
        std::sort(expected.begin(), expected.end());
        CHECK(reference::select(scores, active, k, false) == expected, "n %d, k %d", n, k);
    }
}

void test_row_references() {
    const std::vector<uint8_t> tokens{1, 2, 3, 4, 5, 6};
    CHECK((reference::gather(tokens, {2, 0, -1, 3}, 2) == std::vector<uint8_t>{5, 6, 1, 2, 0, 0, 0, 0}), "gather");
    CHECK((reference::scatter(tokens, {2, -1, 3, 0}, {9, 8, 7, 6, 5, 4, 3, 2}, 2) ==
           std::vector<uint8_t>{3, 2, 3, 4, 9, 8}),
          "scatter");
}

void test_associate_reference() {
    CHECK(std::fabs(reference::positional_term(0, 0, 3, 4) - std::log10(10 + 1e-6)) < 1e-12, "same place");
    CHECK(std::fabs(reference::positional_term(0, 11, 3, 4) + 6) < 1e-9, "opposite corners");
    CHECK(std::fabs(reference::positional_term(0, 3, 1, 4) - std::log10(5 + 1e-6)) < 1e-12, "one row");
    // Equal tokens: the nearest key; equal keys at one place: the lower index; a NaN never.
    reference::Association problem{{1, 1, 1, 1}, {1, 1, 1, NAN}, {3, 0, 0, 1}, 1, 4, 1};
    CHECK((reference::associate(problem) == std::vector<int32_t>{1, 1, 0, 0}), "nearest");
    problem.keys.assign(4, NAN);
    CHECK((reference::associate(problem) == std::vector<int32_t>{0, 0, 0, 0}), "all NaN");
}

}  // namespace

int main() {
    test_score_key();
    test_upper_bits();
    test_candidates();
    test_positional_bias();
    test_warp_segments();
    test_ceil_div();
    test_vector_bytes();
    test_scatter_rows_per_block();
    test_swizzle();
    test_associate_plan();
    test_half();
    test_select_reference();
    test_row_references();
    test_associate_reference();
    std::puts("references and shared arithmetic: all right");
}
