// float16 and bfloat16 as bits, on the host; rounding is to nearest even.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

namespace half {

inline uint32_t bits_of(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}

inline float from_bfloat16(uint16_t value) {
    const uint32_t bits = static_cast<uint32_t>(value) << 16;
    float result;
    std::memcpy(&result, &bits, sizeof result);
    return result;
}

inline uint16_t to_bfloat16(float value) {
    const uint32_t bits = bits_of(value);
    if (std::isnan(value))
        return static_cast<uint16_t>(bits >> 16 | 0x40u);
    return static_cast<uint16_t>((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
}

inline float from_float16(uint16_t value) {
    const int exponent = value >> 10 & 31, mantissa = value & 1023;
    float magnitude;
    if (exponent == 31) {
        magnitude = mantissa == 0 ? INFINITY : NAN;
    } else if (exponent == 0) {
        magnitude = std::ldexp(static_cast<float>(mantissa), -24);
    } else {
        magnitude = std::ldexp(static_cast<float>(mantissa + 1024), exponent - 25);
    }
    return value & 0x8000 ? -magnitude : magnitude;
}

inline uint16_t to_float16(float value) {
    const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
    if (std::isnan(value))
        return sign | 0x7E00;
    const float magnitude = std::fabs(value);
    if (magnitude >= 65520.0f)
        return sign | 0x7C00;
    int exponent;
    std::frexp(magnitude, &exponent);  // magnitude = f 2^exponent, 0.5 <= f < 1
    const int step = magnitude < 0x1p-14f ? -24 : exponent - 11;
    const auto steps = static_cast<uint16_t>(std::nearbyint(std::ldexp(magnitude, -step)));
    return static_cast<uint16_t>(sign | (steps + (step + 24) * 1024));
}

}  // namespace half
