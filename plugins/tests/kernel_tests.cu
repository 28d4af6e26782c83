// Compares every kernel with its CPU reference: on the GPU, or compiled by g++ under the emulation with fewer sizes.
// Status 0: all equal. 1: a line says what differs. 77: there is no CUDA device.
#include "associate_tests.h"
#include "rows_tests.h"
#include "select_tests.h"

namespace {

void test_all(bool reduced) {
    select_tests::test_all(reduced);
    rows_tests::test_all(reduced);
    associate_tests::test_all(reduced);
}

}  // namespace

#ifdef VPP_EMULATED

int main(int argc, char** argv) {
    using emulation::Order;
    const std::string order = argc == 2 ? argv[1] : "";
    CHECK(order == "ascending" || order == "descending" || order == "interleaved",
          "usage: %s ascending|descending|interleaved", argv[0]);
    emulation::settings = {order == "ascending"    ? Order::kAscending
                           : order == "descending" ? Order::kDescending
                                                   : Order::kInterleaved,
                           order != "descending"};
    test_all(true);
    std::printf("emulated kernels, %s: all right\n", order.c_str());
}

#else

int main() {
    int devices = 0;
    if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
        std::puts("no CUDA device");
        return 77;
    }
    test_all(false);
    std::puts("kernels: all right");
}

#endif
