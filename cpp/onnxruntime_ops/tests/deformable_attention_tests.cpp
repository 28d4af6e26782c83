// Every implementation that this processor can run against loops in double precision, on places that no map has, with
// arrays that end where they must not be left. Meant to run with AddressSanitizer and UndefinedBehaviorSanitizer.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "deformable_attention.hpp"

namespace {

using vpp::DeformableAttention;
using vpp::Level;

struct Case {
    size_t batch, queries, heads, channels, points;
    std::vector<int64_t> sizes;
};

// 0 outside the map.
double value_at(const DeformableAttention& task, size_t b, const Level& level, size_t m, size_t c, double y, double x) {
    if (!(y >= 0 && y < level.height && x >= 0 && x < level.width)) {
        return 0.0;
    }
    const size_t row = level.start + static_cast<size_t>(y) * level.width + static_cast<size_t>(x);
    return task.value[((b * task.length + row) * task.heads + m) * task.channels + c];
}

double expected(const DeformableAttention& task, size_t b, size_t q, size_t m, size_t c) {
    double sum = 0;
    for (size_t l = 0; l < task.level_count; ++l) {
        const Level& level = task.levels[l];
        for (size_t p = 0; p < task.points; ++p) {
            const size_t query = b * task.queries + q;
            const float* offset =
                task.offsets + (((query * task.level_count + l) * task.heads + m) * task.points + p) * 2;
            const double y = double{task.reference_points[2 * q]} * level.height - 0.5 + double{offset[0]};
            const double x = double{task.reference_points[2 * q + 1]} * level.width - 0.5 + double{offset[1]};
            if (!std::isfinite(y) || !std::isfinite(x)) {
                return std::nan("");
            }
            const double weight = task.weights[((query * task.heads + m) * task.level_count + l) * task.points + p];
            for (int corner = 0; corner < 4; ++corner) {
                const double row = std::floor(y) + corner / 2, column = std::floor(x) + corner % 2;
                sum += weight * (1 - std::abs(y - row)) * (1 - std::abs(x - column)) *
                       value_at(task, b, level, m, c, row, column);
            }
        }
    }
    return sum;
}

int run(const Case& given, unsigned seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    std::uniform_real_distribution<float> unit;
    const std::vector<Level> levels = vpp::levels_of(given.sizes);
    const size_t rows = given.batch * given.queries, samples = rows * given.heads * levels.size() * given.points;
    const size_t length = levels.back().start + levels.back().height * levels.back().width;
    const auto filled = [&](size_t count, auto& distribution) {
        std::vector<float> values(count);
        for (float& value : values)
            value = distribution(random);
        return values;
    };
    const std::vector<float> value = filled(given.batch * length * given.heads * given.channels, normal);
    const std::vector<float> weights = filled(samples, unit), reference_points = filled(given.queries * 2, unit);
    std::vector<float> offsets = filled(samples * 2, normal);
    constexpr float infinity = std::numeric_limits<float>::infinity();
    const float hostile[] = {3e38f, -3e38f, 2147483648.0f, -1e9f,    1e4f,
                             -1.0f, 0.0f,   std::nanf(""), infinity, -infinity};
    const size_t hostile_count = std::size(hostile) - (seed % 2 ? 3 : 0);  // a NaN hides what else is in a sum
    for (float& offset : offsets)
        offset = unit(random) < 0.2f ? hostile[random() % hostile_count] : 4 * offset;

    DeformableAttention task{};
    task.value = value.data();
    task.offsets = offsets.data();
    task.weights = weights.data();
    task.reference_points = reference_points.data();
    task.levels = levels.data();
    task.level_count = levels.size();
    task.batch = given.batch;
    task.length = length;
    task.queries = given.queries;
    task.heads = given.heads;
    task.channels = given.channels;
    task.points = given.points;
    int faults = 0;
    for (const vpp::Implementation& implementation : vpp::implementations()) {
        std::vector<float> whole(rows * given.heads * given.channels, -1.0f), split(whole);  // as memory may be
        task.output = whole.data();
        implementation.compute(task, 0, rows);
        task.output = split.data();
        for (size_t row = 0; row < rows; ++row)
            implementation.compute(task, row, row + 1);
        if (std::memcmp(whole.data(), split.data(), whole.size() * sizeof(float)) != 0) {
            std::printf("case %u, %s: rows alone differ from rows together\n", seed, implementation.name);
            ++faults;
        }
        double most = 0;
        for (size_t i = 0; i < whole.size(); ++i) {
            const size_t row = i / (given.heads * given.channels), m = i / given.channels % given.heads;
            const double wanted = expected(task, row / given.queries, row % given.queries, m, i % given.channels);
            const double error = std::isnan(wanted) && std::isnan(whole[i]) ? 0 : std::abs(whole[i] - wanted);
            most = error <= most ? most : error;  // NaN stays
        }
        if (!(most < 1e-4)) {
            std::printf("case %u, %s: off by %g\n", seed, implementation.name, most);
            ++faults;
        }
    }
    return faults;
}

int refuse_sizes() {
    constexpr int64_t large = int64_t{1} << 24;
    const std::vector<int64_t> wrong[] = {
        {}, {3}, {2, 0}, {-1, 4}, {large + 1, 1}, {large, large}, {large, 100, large, 100}};
    int faults = 0;
    for (const auto& sizes : wrong)
        faults += !vpp::levels_of(sizes).empty();
    return faults + (vpp::levels_of({2, 3, 4, 5}).size() != 2);
}

}  // namespace

int main() {
    // Channels of every way to cut them into vectors; points of less, one and more than a block; maps of one pixel.
    const Case cases[] = {
        {1, 9, 2, 32, 4, {5, 7, 3, 2}},  {2, 5, 3, 64, 4, {6, 4}}, {1, 4, 2, 71, 3, {1, 1, 4, 1, 1, 5}},
        {3, 3, 1, 16, 1, {2, 2}},        {1, 3, 2, 8, 65, {3, 3}}, {2, 2, 40, 4, 2, {3, 5, 2, 2}},
        {1, 2, 2, 1, 130, {4, 4, 1, 1}}, {1, 2, 1, 7, 64, {2, 9}}, {1, 40, 6, 24, 4, {8, 8, 4, 4, 2, 2}},
        {1, 3, 2, 5, 0, {2, 2}},
    };
    int faults = refuse_sizes();
    unsigned seed = 0;
    for (const Case& one : cases)
        for (int repeat = 0; repeat < 4; ++repeat)
            faults += run(one, seed++);
    std::printf("%u cases, %zu implementations, %d faults\n", seed, vpp::implementations().size(), faults);
    return faults != 0;
}
