#include "backend/cpu/implementations.h"

#include <fmt/format.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <string>

#include "backend/cpu_backend.h"

namespace nibble {
namespace {

bool always() { return true; }

#if defined(__x86_64__)
// clang 14 does not know the name "f16c".
bool has_f16c() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_F16C) != 0;
}

// The compiler's test includes whether the operating system saves the wide registers.
bool has_avx2() {
  return __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0 &&
         __builtin_cpu_supports("bmi2") != 0 && has_f16c();
}

bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") != 0 &&
         __builtin_cpu_supports("avx512bw") != 0 && __builtin_cpu_supports("avx512dq") != 0 &&
         __builtin_cpu_supports("avx512vl") != 0;
}
#endif

constexpr CpuImplementation kImplementations[] = {
    {"scalar", "any processor; the reference", always, scalar_kernels},
#if defined(__x86_64__)
    {"avx2", "x86-64 with AVX2, FMA, F16C and BMI2", has_avx2, avx2_kernels},
    {"avx512", "x86-64 with AVX-512 F, BW, DQ and VL", has_avx512, avx512_kernels},
#endif
};

std::string known_names() {
  std::string names;
  for (const CpuImplementation& implementation : kImplementations) {
    if (!names.empty()) names += ", ";
    names += implementation.name;
  }
  return names;
}

}  // namespace

std::span<const CpuImplementation> compiled_cpu_implementations() { return kImplementations; }

Result<const CpuImplementation*> choose_cpu_implementation(std::string_view name) {
  const CpuImplementation* best = nullptr;
  for (const CpuImplementation& implementation : kImplementations) {
    if (name.empty()) {
      if (implementation.supported()) best = &implementation;
    } else if (implementation.name == name) {
      if (implementation.supported()) return &implementation;
      return Error(ErrorCode::kUnsupported,
                   fmt::format("the CPU implementation \"{}\" needs {}, which this machine does "
                               "not offer; leave the choice to nibble or force \"scalar\"",
                               name, implementation.description));
    }
  }
  if (best != nullptr) return best;
  return Error(
      ErrorCode::kInvalidArgument,
      fmt::format("there is no CPU implementation \"{}\"; known are {}", name, known_names()));
}

std::vector<CpuImplementationInfo> cpu_implementations() {
  std::vector<CpuImplementationInfo> list;
  for (const CpuImplementation& implementation : kImplementations) {
    list.push_back({implementation.name, implementation.description, implementation.supported()});
  }
  return list;
}

}  // namespace nibble
