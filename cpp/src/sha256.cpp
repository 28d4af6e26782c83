#include "vpp/sha256.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <system_error>
#include <vector>

namespace vpp {
namespace {

constexpr std::uint32_t kRoundConstants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

std::uint32_t rotate_right(std::uint32_t value, int bits) {
    return (value >> bits) | (value << (32 - bits));
}

}  // namespace

void Sha256::update(const void* data, std::size_t size) {
    auto input = static_cast<const std::uint8_t*>(data);
    std::size_t filled = bytes_ % block_.size();
    bytes_ += size;
    while (size > 0) {
        if (filled == 0 && size >= block_.size()) {
            compress(input);
            input += block_.size();
            size -= block_.size();
            continue;
        }
        const std::size_t taken = std::min(size, block_.size() - filled);
        std::memcpy(block_.data() + filled, input, taken);
        input += taken;
        size -= taken;
        filled += taken;
        if (filled == block_.size()) {
            compress(block_.data());
            filled = 0;
        }
    }
}

std::string Sha256::finish() {
    const std::uint64_t bits = bytes_ * 8;
    constexpr std::uint8_t kPadding[64] = {0x80};
    update(kPadding, 1 + (119 - bytes_ % 64) % 64);
    std::uint8_t length[8];
    for (int n = 0; n < 8; ++n) {
        length[n] = static_cast<std::uint8_t>(bits >> (56 - 8 * n));
    }
    update(length, sizeof(length));
    std::string digits;
    for (const std::uint32_t word : state_) {
        for (int shift = 28; shift >= 0; shift -= 4) {
            digits += "0123456789abcdef"[(word >> shift) & 15];
        }
    }
    return digits;
}

void Sha256::compress(const std::uint8_t* block) {
    std::uint32_t w[64];
    for (int t = 0; t < 16; ++t) {
        w[t] = std::uint32_t{block[4 * t]} << 24 | std::uint32_t{block[4 * t + 1]} << 16 |
               std::uint32_t{block[4 * t + 2]} << 8 | std::uint32_t{block[4 * t + 3]};
    }
    for (int t = 16; t < 64; ++t) {
        const std::uint32_t s0 = rotate_right(w[t - 15], 7) ^ rotate_right(w[t - 15], 18) ^ (w[t - 15] >> 3);
        const std::uint32_t s1 = rotate_right(w[t - 2], 17) ^ rotate_right(w[t - 2], 19) ^ (w[t - 2] >> 10);
        w[t] = w[t - 16] + s0 + w[t - 7] + s1;
    }
    auto [a, b, c, d, e, f, g, h] = state_;
    for (int t = 0; t < 64; ++t) {
        const std::uint32_t s1 = rotate_right(e, 6) ^ rotate_right(e, 11) ^ rotate_right(e, 25);
        const std::uint32_t t1 = h + s1 + ((e & f) ^ (~e & g)) + kRoundConstants[t] + w[t];
        const std::uint32_t s0 = rotate_right(a, 2) ^ rotate_right(a, 13) ^ rotate_right(a, 22);
        const std::uint32_t t2 = s0 + ((a & b) ^ (a & c) ^ (b & c));
        h = g;
        g = f;
        f = e;
        e = d + t1;
        d = c;
        c = b;
        b = a;
        a = t1 + t2;
    }
    const std::uint32_t words[8] = {a, b, c, d, e, f, g, h};
    for (std::size_t n = 0; n < 8; ++n) {
        state_[n] += words[n];
    }
}

std::string sha256_of_file(const std::filesystem::path& path) {
    const auto failed = [&path] {
        return std::filesystem::filesystem_error("cannot read", path, std::error_code(errno, std::generic_category()));
    };
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), &std::fclose);
    if (!file) {
        throw failed();
    }
    Sha256 hash;
    std::vector<char> piece(std::size_t{1} << 20);
    while (const std::size_t size = std::fread(piece.data(), 1, piece.size(), file.get())) {
        hash.update(piece.data(), size);
    }
    if (std::ferror(file.get())) {
        throw failed();
    }
    return hash.finish();
}

}  // namespace vpp
