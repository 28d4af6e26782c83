#include <vector>

#include "check.hpp"
#include "vpp/error.hpp"
#include "vpp/letterbox.hpp"

int main() {
    using vpp::Size;
    CHECK((vpp::content_size({100, 200}, {64, 64}) == Size{32, 64}));
    CHECK((vpp::content_size({1, 1000}, {64, 64}) == Size{1, 64}));

    const std::vector<std::uint8_t> grey(4 * 8 * 3, 200);
    const vpp::Letterbox boxed = vpp::letterbox(grey.data(), {4, 8}, {16, 16});
    CHECK((boxed.content == Size{8, 16}));
    CHECK(boxed.image == [] {
        std::vector<std::uint8_t> expected(16 * 16 * 3, 0);
        std::fill(expected.begin(), expected.begin() + 8 * 16 * 3, std::uint8_t{200});
        return expected;
    }());

    CHECK_THROWS(vpp::letterbox(grey.data(), {0, 8}, {16, 16}), vpp::UsageError, "picture of 0 x 8 pixels");
    CHECK_THROWS(vpp::letterbox(grey.data(), {4, 8}, {16, 1 << 21}), vpp::UsageError, "letterbox of 16 x 2097152");
    return vpp::test::failures();
}
