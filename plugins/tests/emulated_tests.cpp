// The kernels, their launchers and their tests as one host program, on the stand-in CUDA headers of emulation/.
#include "../kernels/associate.cu"
#include "../kernels/embedded.cu"
#include "../kernels/rows.cu"
#include "../kernels/select.cu"
#include "kernel_tests.cu"
