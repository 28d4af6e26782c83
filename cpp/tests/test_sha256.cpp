#include <string>

#include "check.hpp"
#include "vpp/sha256.hpp"

namespace {

std::string hash(const std::string& text, std::size_t piece) {
    vpp::Sha256 hash;
    for (std::size_t at = 0; at < text.size(); at += piece) {
        hash.update(text.data() + at, std::min(piece, text.size() - at));
    }
    return hash.finish();
}

}  // namespace

int main() {
    // FIPS 180-4 examples, and a million times "a".
    CHECK(hash("", 1) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    CHECK(hash("abc", 3) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    const std::string two_blocks = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    for (const std::size_t piece : {1, 7, 56, 64}) {
        CHECK(hash(two_blocks, piece) == "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    }
    const std::string million(1000000, 'a');
    for (const std::size_t piece : {63, 64, 65, 1000000}) {
        CHECK(hash(million, piece) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    }
    CHECK_THROWS(vpp::sha256_of_file("no such file"), std::filesystem::filesystem_error, "no such file");
    return vpp::test::failures();
}
