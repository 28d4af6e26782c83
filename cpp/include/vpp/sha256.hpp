#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>

namespace vpp {

/// SHA-256 (FIPS 180-4) of bytes that arrive in pieces.
class Sha256 {
  public:
    void update(const void* data, std::size_t size);

    /// The hash of everything so far as 64 lower-case hex digits. Call it once, last.
    std::string finish();

  private:
    void compress(const std::uint8_t* block);

    std::array<std::uint32_t, 8> state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                        0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    std::array<std::uint8_t, 64> block_{};
    std::uint64_t bytes_ = 0;
};

/// The SHA-256 of a file as 64 hex digits. Reads in pieces, so a file may be larger than memory.
///
/// @throws std::filesystem::filesystem_error the file cannot be read.
std::string sha256_of_file(const std::filesystem::path& path);

}  // namespace vpp
