// The list of methods. To add one: write its file, include its header here, add a row.
#include <array>

#include "quantize/methods/method.h"
#include "quantize/methods/rtn.h"
#include "quantize/methods/sweep.h"

namespace nibble {
namespace {

constexpr std::array kMethods = {
    Method{"rtn", "round to nearest: each block's largest magnitude becomes 6; no data, fastest",
           quantize_rtn},
    Method{"sweep", "least squared error over eleven block scales per block; no data, recommended",
           quantize_sweep},
};

}  // namespace

std::span<const Method> methods() { return kMethods; }

const Method* find_method(std::string_view name) {
  for (const Method& method : kMethods) {
    if (method.name == name) return &method;
  }
  return nullptr;
}

}  // namespace nibble
