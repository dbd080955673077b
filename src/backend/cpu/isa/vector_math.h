// exp and sigmoid on vectors, to about 2 units in the last place, for any Simd of simd_<isa>.h.
//
// All vector_<op>.h files hold templates over such a Simd. As it has internal linkage, so has every
// instance: each instruction set gets its own copy and the linker can mix none of them up.
#pragma once

#include <cstddef>

namespace nibble {

template <class S>
struct VectorMath {
  using V = typename S::V;

  /// x = n ln 2 + r with |r| <= ln 2 / 2; e^r from the first eight terms of its series (the ninth
  /// is below 6e-9), then scaled by 2^n.
  static V exp(V x) {
    x = S::clamp(x, -150.0f, 130.0f);
    const V n = S::round(S::mul(x, S::set1(1.44269504f)));
    // ln 2 in two parts: the first has so few bits that n times it is exact.
    V r = S::fma(n, S::set1(-0.693359375f), x);
    r = S::fma(n, S::set1(2.12194440e-4f), r);
    V p = S::set1(1.0f / 5040.0f);
    p = S::fma(p, r, S::set1(1.0f / 720.0f));
    p = S::fma(p, r, S::set1(1.0f / 120.0f));
    p = S::fma(p, r, S::set1(1.0f / 24.0f));
    p = S::fma(p, r, S::set1(1.0f / 6.0f));
    p = S::fma(p, r, S::set1(0.5f));
    p = S::fma(p, r, S::set1(1.0f));
    p = S::fma(p, r, S::set1(1.0f));
    return S::scale_by_power(p, n);
  }

  static V sigmoid(V x) {
    const V one = S::set1(1.0f);
    return S::div(one, S::add(one, exp(S::sub(S::zero(), x))));
  }

  static V silu(V x) { return S::div(x, S::add(S::set1(1.0f), exp(S::sub(S::zero(), x)))); }

  /// sum a[i] b[i], eight vectors' worth of partial sums at most.
  static float dot(const float* a, const float* b, size_t n) {
    constexpr size_t kStep = 4 * S::kLanes;
    V s0 = S::zero(), s1 = S::zero(), s2 = S::zero(), s3 = S::zero();
    size_t i = 0;
    for (; i + kStep <= n; i += kStep) {
      s0 = S::fma(S::load(a + i), S::load(b + i), s0);
      s1 = S::fma(S::load(a + i + S::kLanes), S::load(b + i + S::kLanes), s1);
      s2 = S::fma(S::load(a + i + 2 * S::kLanes), S::load(b + i + 2 * S::kLanes), s2);
      s3 = S::fma(S::load(a + i + 3 * S::kLanes), S::load(b + i + 3 * S::kLanes), s3);
    }
    for (; i < n; i += S::kLanes) {
      const size_t left = n - i < S::kLanes ? n - i : S::kLanes;
      s0 = S::fma(S::load_first(a + i, left), S::load_first(b + i, left), s0);
    }
    return S::sum(S::add(S::add(s0, s1), S::add(s2, s3)));
  }
};

/// Stands for all lanes of a vector where a number of lanes is asked for.
struct AllLanes {};

/// Loads and stores of either all lanes or the first few.
template <class S>
struct Lanes {
  using V = typename S::V;
  static V load(const float* p, AllLanes) { return S::load(p); }
  static V load(const float* p, size_t n) { return S::load_first(p, n); }
  static void store(float* p, V x, AllLanes) { S::store(p, x); }
  static void store(float* p, V x, size_t n) { S::store_first(p, x, n); }
};

/// Calls body(begin, lanes) for the vectors of [0, n): AllLanes for full ones, a number for the
/// last.
template <class S, class Body>
inline void for_vectors(size_t n, const Body& body) {
  size_t i = 0;
  for (; i + S::kLanes <= n; i += S::kLanes) body(i, AllLanes{});
  if (i < n) body(i, n - i);
}

}  // namespace nibble
