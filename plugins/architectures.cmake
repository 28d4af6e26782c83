# The GPU architectures to compile for by default: those of the first list that this nvcc knows. sm_120 needs CUDA 12.8;
# what an older nvcc makes for the last one it knows carries PTX too, which a newer GPU's driver compiles.
#   cmake -DCMAKE_CUDA_COMPILER=nvcc -P plugins/architectures.cmake   # prints them
set(VPP_CUDA_ARCHITECTURES "")
execute_process(
  COMMAND "${CMAKE_CUDA_COMPILER}" --list-gpu-arch
  OUTPUT_VARIABLE known RESULT_VARIABLE status ERROR_VARIABLE reason OUTPUT_STRIP_TRAILING_WHITESPACE)
foreach(architecture 80 86 89 90 120)
  if(known MATCHES "compute_${architecture}(\r?\n|$)")
    list(APPEND VPP_CUDA_ARCHITECTURES ${architecture})
  endif()
endforeach()
if(NOT status EQUAL 0 OR NOT VPP_CUDA_ARCHITECTURES)
  message(FATAL_ERROR "${CMAKE_CUDA_COMPILER} does not list GPU architectures that the kernels are for (80 and later): "
                      "${reason}${known}. Use nvcc of CUDA 12 or later, or give -DCMAKE_CUDA_ARCHITECTURES=…")
endif()
if(CMAKE_SCRIPT_MODE_FILE)
  message("${VPP_CUDA_ARCHITECTURES}")
endif()
