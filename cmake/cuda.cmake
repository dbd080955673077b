# The CUDA part of the build: the language, its flags, and the proof that the number formats mean
# the same on the device as on the host.
if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 80 90)
endif()
enable_language(CUDA)
set(CMAKE_CUDA_STANDARD 20)
# CMake 3.25 does not know that nvcc 12 and later take this flag.
set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
# std::bit_cast is constexpr, not __device__.
string(APPEND CMAKE_CUDA_FLAGS " --expt-relaxed-constexpr -Werror=all-warnings")

if(TESTS)
  add_executable(numbers_cuda_test ${CMAKE_SOURCE_DIR}/tests/cuda/numbers_test.cu)
  target_include_directories(numbers_cuda_test PRIVATE ${CMAKE_SOURCE_DIR}/src)
  add_test(NAME numbers_cuda_test COMMAND numbers_cuda_test)
  set_tests_properties(numbers_cuda_test PROPERTIES SKIP_RETURN_CODE 77)
endif()
