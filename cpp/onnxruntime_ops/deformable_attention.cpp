#include "deformable_attention.hpp"

#include <algorithm>
#include <limits>

// The same body is compiled for several instruction sets, and the processor chooses when it runs.
#define VPP_INLINE inline __attribute__((always_inline))

namespace vpp {
namespace {

// Samples that are placed at a time, before any value is read: places need no vectors of channels, so a loop of their
// own lets the compiler compute several at once.
constexpr size_t kBlock = 64;

template <int Lanes>
struct Vector {
    // `aligned`: rows of values start anywhere. `may_alias`: they are floats.
    typedef float Type __attribute__((vector_size(Lanes * sizeof(float)), aligned(sizeof(float)), may_alias));
};
template <>
struct Vector<1> {
    typedef float Type;
};

// Where the samples of a block lie: rows of the value map, and the share of each of the four.
struct Places {
    int32_t row[4][kBlock];
    float share[4][kBlock];
};

VPP_INLINE float limited(float place, float most) {
    const float low = place > -1.0f ? place : -1.0f;  // NaN too
    return low < most ? low : most;
}

VPP_INLINE int32_t inside(int32_t place, int32_t last) {
    return place < 0 ? 0 : (place > last ? last : place);
}

// Places `count` samples. A place is limited to [-1, size] before it becomes a whole number: whatever is beyond has no
// neighbour in the map either. Where it is no number its shares are none.
VPP_INLINE void place(const Level& level, float y, float x, const float* offsets, size_t count, Places& places) {
    const float height = static_cast<float>(level.height), width = static_cast<float>(level.width);
    const int32_t bottom = level.height - 1, right = level.width - 1;
    for (size_t i = 0; i < count; ++i) {
        const float raw_y = y + offsets[2 * i], raw_x = x + offsets[2 * i + 1];
        const float nothing = (raw_y - raw_y) + (raw_x - raw_x);  // 0, or NaN
        const float py = limited(raw_y, height), px = limited(raw_x, width);
        const int32_t y0 = static_cast<int32_t>(py + 1.0f) - 1, x0 = static_cast<int32_t>(px + 1.0f) - 1;
        const float down = py - static_cast<float>(y0), across = px - static_cast<float>(x0);
        const float above = ((y0 >= 0) & (y0 <= bottom) ? 1.0f - down : 0.0f) + nothing;
        const float below = (y0 < bottom ? down : 0.0f) + nothing;
        const float before = (x0 >= 0) & (x0 <= right) ? 1.0f - across : 0.0f;
        const float after = x0 < right ? across : 0.0f;
        const int32_t row0 = level.start + inside(y0, bottom) * level.width;
        const int32_t row1 = level.start + inside(y0 + 1, bottom) * level.width;
        const int32_t column0 = inside(x0, right), column1 = inside(x0 + 1, right);
        places.row[0][i] = row0 + column0;
        places.row[1][i] = row0 + column1;
        places.row[2][i] = row1 + column0;
        places.row[3][i] = row1 + column1;
        places.share[0][i] = above * before;
        places.share[1][i] = above * after;
        places.share[2][i] = below * before;
        places.share[3][i] = below * after;
    }
}

// Adds the samples [first, first + count) of one head to `Count` vectors of its output.
template <int Lanes, int Count>
VPP_INLINE void add_samples(const float* value, size_t stride, const Places& places, size_t first, size_t count,
                            const float* weights, float* output) {
    using Values = typename Vector<Lanes>::Type;
    Values sum[Count];
    for (int part = 0; part < Count; ++part)
        sum[part] = *reinterpret_cast<const Values*>(output + part * Lanes);
    for (size_t i = 0; i < count; ++i) {
        for (int corner = 0; corner < 4; ++corner) {
            const float share = places.share[corner][first + i] * weights[i];
            const float* source = value + static_cast<size_t>(places.row[corner][first + i]) * stride;
            for (int part = 0; part < Count; ++part)
                sum[part] += share * *reinterpret_cast<const Values*>(source + part * Lanes);
        }
    }
    for (int part = 0; part < Count; ++part)
        *reinterpret_cast<Values*>(output + part * Lanes) = sum[part];
}

// The same for all channels of the head, in pieces of up to four vectors.
template <int Lanes>
VPP_INLINE void add_head(const float* value, size_t stride, size_t channels, const Places& places, size_t first,
                         size_t count, const float* weights, float* output) {
    size_t c = 0;
    for (; c + 4 * Lanes <= channels; c += 4 * Lanes)
        add_samples<Lanes, 4>(value + c, stride, places, first, count, weights, output + c);
    for (; c + 2 * Lanes <= channels; c += 2 * Lanes)
        add_samples<Lanes, 2>(value + c, stride, places, first, count, weights, output + c);
    for (; c + Lanes <= channels; c += Lanes)
        add_samples<Lanes, 1>(value + c, stride, places, first, count, weights, output + c);
    for (; c + 4 <= channels; c += 4)
        add_samples<4, 1>(value + c, stride, places, first, count, weights, output + c);
    for (; c < channels; ++c)
        add_samples<1, 1>(value + c, stride, places, first, count, weights, output + c);
}

template <int Lanes>
VPP_INLINE void compute(const DeformableAttention& task, size_t first, size_t last) {
    const size_t points = task.points, heads = task.heads, stride = heads * task.channels;
    // A block holds the points of several heads, or some points of one.
    const size_t points_at_once = std::min(std::max<size_t>(1, points), kBlock);
    const size_t heads_at_once = kBlock / points_at_once;
    Places places;
    for (size_t row = first; row < last; ++row) {
        const float* value = task.value + row / task.queries * task.length * stride;
        const float* reference = task.reference_points + row % task.queries * 2;
        const float* offsets = task.offsets + row * task.level_count * heads * points * 2;
        const float* weights = task.weights + row * heads * task.level_count * points;
        float* output = task.output + row * stride;
        std::fill(output, output + stride, 0.0f);
        for (size_t l = 0; l < task.level_count; ++l) {
            const Level& level = task.levels[l];
            const float y = reference[0] * static_cast<float>(level.height) - 0.5f;
            const float x = reference[1] * static_cast<float>(level.width) - 0.5f;
            for (size_t head = 0; head < heads; head += heads_at_once) {
                const size_t head_end = std::min(heads, head + heads_at_once);
                for (size_t point = 0; point < points; point += points_at_once) {
                    const size_t count = std::min(points_at_once, points - point);
                    const float* here = offsets + ((l * heads + head) * points + point) * 2;
                    place(level, y, x, here, (head_end - head - 1) * points + count, places);
                    for (size_t m = head; m < head_end; ++m)
                        add_head<Lanes>(value + m * task.channels, stride, task.channels, places, (m - head) * points,
                                        count, weights + (m * task.level_count + l) * points + point,
                                        output + m * task.channels);
                }
            }
        }
    }
}

// SSE2, or NEON on 64-bit ARM.
void compute_baseline(const DeformableAttention& task, size_t first, size_t last) {
    compute<4>(task, first, last);
}

#if defined(__x86_64__)
__attribute__((target("avx512f"))) void compute_avx512(const DeformableAttention& task, size_t first, size_t last) {
    compute<16>(task, first, last);
}

__attribute__((target("avx2,fma"))) void compute_avx2(const DeformableAttention& task, size_t first, size_t last) {
    compute<8>(task, first, last);
}
#endif

}  // namespace

std::vector<Level> levels_of(const std::vector<int64_t>& sizes) {
    constexpr int64_t most = std::numeric_limits<int32_t>::max();
    constexpr int64_t longest = int64_t{1} << 24;  // whole numbers up to here are exact in a float
    std::vector<Level> levels;
    int64_t start = 0;
    if (sizes.size() % 2 != 0) {
        return {};
    }
    for (size_t i = 0; i < sizes.size(); i += 2) {
        const int64_t height = sizes[i], width = sizes[i + 1];
        if (height <= 0 || width <= 0 || height > longest || width > longest || height * width > most - start) {
            return {};
        }
        levels.push_back({static_cast<int32_t>(height), static_cast<int32_t>(width), static_cast<int32_t>(start)});
        start += height * width;
    }
    return levels;
}

std::vector<Implementation> implementations() {
    std::vector<Implementation> found;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f")) {
        found.push_back({"AVX-512", compute_avx512});
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        found.push_back({"AVX2", compute_avx2});
    }
#endif
    found.push_back({"baseline", compute_baseline});
    return found;
}

void deformable_attention(const DeformableAttention& task, size_t first, size_t last) {
    static const auto fastest = implementations().front().compute;
    fastest(task, first, last);
}

}  // namespace vpp
