// Integers of any size up to a limit, for the values beyond 64 bits that templates and JSON may
// hold.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace nibble::jinja {

/// Sign and magnitude. Results beyond kMaxBits stop the rendering (fail_limit).
class BigInt {
 public:
  static constexpr size_t kMaxBits = 65536;

  BigInt() = default;
  explicit BigInt(int64_t value);

  /// Digits of the given base (2 to 36) without sign, prefix or separators; nothing if any is not
  /// one.
  static std::optional<BigInt> parse(std::string_view digits, uint32_t base);

  /// The integer part of a finite number.
  static BigInt truncate(double value);

  bool is_zero() const { return limbs_.empty(); }
  bool is_negative() const { return negative_; }
  bool is_odd() const { return !limbs_.empty() && (limbs_[0] & 1) != 0; }

  /// The value if it fits.
  std::optional<int64_t> to_int64() const;

  /// The nearest double; infinite where there is none.
  double to_double() const;

  /// Lower-case digits of base 2 to 36, with a leading minus where negative.
  std::string to_string(uint32_t base = 10) const;

  /// The number of bits of the magnitude.
  size_t n_bits() const;

  BigInt operator-() const;
  friend BigInt operator+(const BigInt& a, const BigInt& b);
  friend BigInt operator-(const BigInt& a, const BigInt& b);
  friend BigInt operator*(const BigInt& a, const BigInt& b);

  /// Quotient rounded down and the remainder with the divisor's sign. The divisor is not zero.
  static void floor_divide(const BigInt& a, const BigInt& b, BigInt& quotient, BigInt& remainder);

  /// base to a power that is not negative.
  static BigInt power(const BigInt& base, uint64_t exponent);

  /// Negative, zero or positive like a - b.
  static int compare(const BigInt& a, const BigInt& b);

  size_t hash() const;

 private:
  using Limbs = std::vector<uint32_t>;  // least significant first, no leading zeros

  void normalize();
  static int compare_magnitude(const Limbs& a, const Limbs& b);
  static Limbs add_magnitude(const Limbs& a, const Limbs& b);
  static Limbs subtract_magnitude(const Limbs& a, const Limbs& b);
  static void divide_magnitude(const Limbs& a, const Limbs& b, Limbs& quotient, Limbs& remainder);
  static uint32_t divide_small(Limbs& limbs, uint32_t divisor);
  static void multiply_add_small(Limbs& limbs, uint32_t factor, uint32_t addend);

  bool negative_ = false;
  Limbs limbs_;
};

}  // namespace nibble::jinja
