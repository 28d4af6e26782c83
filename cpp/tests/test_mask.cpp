#include <vector>

#include "check.hpp"
#include "vpp/error.hpp"
#include "vpp/mask.hpp"
#include "vpp/mask_resize.hpp"
#include "vpp/rle.hpp"
#include "vpp/suppression.hpp"

namespace {

constexpr vpp::Size kSize{6, 8};

vpp::Mask rectangle(vpp::Box box) {
    vpp::Mask mask{kSize, std::vector<std::uint8_t>(48)};
    for (std::int64_t y = box.y1; y < box.y2; ++y) {
        for (std::int64_t x = box.x1; x < box.x2; ++x) {
            mask.row(y)[x] = 1;
        }
    }
    return mask;
}

bool equal(vpp::Box a, vpp::Box b) {
    return a.x1 == b.x1 && a.y1 == b.y1 && a.x2 == b.x2 && a.y2 == b.y2;
}

void boxes_are_tight() {
    CHECK(equal(vpp::tight_box(rectangle({})), {}));
    for (const vpp::Box box :
         {vpp::Box{3, 2, 4, 3}, vpp::Box{0, 0, 8, 6}, vpp::Box{0, 5, 8, 6}, vpp::Box{7, 0, 8, 1}}) {
        CHECK(equal(vpp::tight_box(rectangle(box)), box));
    }
    vpp::Mask corners = rectangle({0, 5, 1, 6});
    corners.row(0)[7] = 1;
    CHECK(equal(vpp::tight_box(corners), {0, 0, 8, 6}));
}

void overlapping_masks_are_suppressed() {
    const vpp::Mask left = rectangle({0, 0, 4, 6});
    const vpp::Mask middle = rectangle({1, 0, 5, 6});  // 3 / 5 of both
    const vpp::Mask right = rectangle({4, 0, 8, 6});
    const vpp::Mask empty = rectangle({});
    const std::vector<const vpp::Mask*> masks = {&left, &middle, &right, &empty, &empty};
    using Survivors = std::vector<std::size_t>;
    CHECK((vpp::unsuppressed(masks, 0.5) == Survivors{0, 2, 3}));
    CHECK((vpp::unsuppressed(masks, 0.7) == Survivors{0, 1, 2, 3}));
    CHECK((vpp::unsuppressed(masks, 1.0) == Survivors{0, 1, 2, 3, 4}));
    CHECK((vpp::unsuppressed(masks, 0.5, 2) == Survivors{0, 1, 2, 3}));
}

void runs_are_encoded_column_by_column() {
    CHECK(vpp::rle_counts(rectangle({})) == "`1");                // 48 zeros
    CHECK(vpp::rle_counts(rectangle({0, 0, 8, 6})) == "0`1");     // no zero, 48 ones
    CHECK(vpp::rle_counts(rectangle({1, 2, 3, 4})) == "8240l0");  // 8, 2, 4, 2 - 2, 32 - 4
}

void a_resized_mask_follows_its_logits() {
    const std::vector<float> logits = {-1, -1, -1, 3, 3, -1, -1, -1, -1, -1, -1, -1};  // [3, 4]
    const vpp::AxisResize rows(3, 12, 12, 3);
    const vpp::AxisResize columns(4, 16, 16, 4);
    vpp::Mask mask{{3, 4}, std::vector<std::uint8_t>(12)};
    const vpp::MaskSummary summary = vpp::resize_mask(logits.data(), {3, 4}, rows, columns, mask);
    CHECK(mask.row(0)[3] == 1);
    CHECK(mask.row(1)[0] == 1);
    CHECK(mask.row(2)[2] == 0);
    CHECK(equal(summary.box, vpp::tight_box(mask)));
    CHECK(summary.mean_probability > 0.5 && summary.mean_probability < 1);
    CHECK_THROWS(vpp::AxisResize(3, 12, 13, 3), vpp::UsageError, "padded 12, content 13");
}

}  // namespace

int main() {
    boxes_are_tight();
    overlapping_masks_are_suppressed();
    runs_are_encoded_column_by_column();
    a_resized_mask_follows_its_logits();
    return vpp::test::failures();
}
