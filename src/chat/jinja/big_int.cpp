#include "chat/jinja/big_int.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "chat/jinja/failure.h"

namespace nibble::jinja {
namespace {

void check_bits(size_t n_bits) {
  if (n_bits > BigInt::kMaxBits) fail_limit("an integer grew beyond 65536 bits");
}

}  // namespace

BigInt::BigInt(int64_t value) : negative_(value < 0) {
  uint64_t magnitude = negative_ ? ~static_cast<uint64_t>(value) + 1 : static_cast<uint64_t>(value);
  for (; magnitude != 0; magnitude >>= 32) limbs_.push_back(static_cast<uint32_t>(magnitude));
}

void BigInt::normalize() {
  while (!limbs_.empty() && limbs_.back() == 0) limbs_.pop_back();
  if (limbs_.empty()) negative_ = false;
  check_bits(n_bits());
}

size_t BigInt::n_bits() const {
  if (limbs_.empty()) return 0;
  return limbs_.size() * 32 - static_cast<size_t>(std::countl_zero(limbs_.back()));
}

std::optional<BigInt> BigInt::parse(std::string_view digits, uint32_t base) {
  if (digits.empty()) return std::nullopt;
  check_bits(digits.size());  // every digit is at least one bit
  BigInt out;
  for (const char c : digits) {
    uint32_t digit = 99;
    if (c >= '0' && c <= '9') digit = static_cast<uint32_t>(c - '0');
    if (c >= 'a' && c <= 'z') digit = static_cast<uint32_t>(c - 'a') + 10;
    if (c >= 'A' && c <= 'Z') digit = static_cast<uint32_t>(c - 'A') + 10;
    if (digit >= base) return std::nullopt;
    multiply_add_small(out.limbs_, base, digit);
  }
  out.normalize();
  return out;
}

BigInt BigInt::truncate(double value) {
  int exponent = 0;
  const double mantissa = std::frexp(std::fabs(value), &exponent);
  BigInt out(static_cast<int64_t>(std::ldexp(mantissa, std::min(exponent, 53))));
  if (exponent > 53) out = out * power(BigInt(2), static_cast<uint64_t>(exponent - 53));
  out.negative_ = value < 0 && !out.is_zero();
  return out;
}

std::optional<int64_t> BigInt::to_int64() const {
  if (limbs_.size() > 2) return std::nullopt;
  uint64_t magnitude = 0;
  for (size_t i = limbs_.size(); i-- > 0;) magnitude = (magnitude << 32) | limbs_[i];
  constexpr uint64_t kLimit = uint64_t{1} << 63;
  if (magnitude > kLimit || (magnitude == kLimit && !negative_)) return std::nullopt;
  return static_cast<int64_t>(negative_ ? ~magnitude + 1 : magnitude);
}

double BigInt::to_double() const {
  const size_t bits = n_bits();
  if (bits > 1024) return negative_ ? -HUGE_VAL : HUGE_VAL;
  // The top 64 bits, with a sticky last bit, round to the same double as the whole number.
  uint64_t top = 0;
  const size_t shift = bits > 64 ? bits - 64 : 0;
  bool sticky = false;
  for (size_t bit = 0; bit < bits; ++bit) {
    const bool set = ((limbs_[bit / 32] >> (bit % 32)) & 1) != 0;
    if (bit < shift) {
      sticky = sticky || set;
    } else if (set) {
      top |= uint64_t{1} << (bit - shift);
    }
  }
  if (sticky) top |= 1;
  const double magnitude = std::ldexp(static_cast<double>(top), static_cast<int>(shift));
  return negative_ ? -magnitude : magnitude;
}

std::string BigInt::to_string(uint32_t base) const {
  if (limbs_.empty()) return "0";
  std::string out;
  Limbs rest = limbs_;
  while (!rest.empty()) {
    const uint32_t digit = divide_small(rest, base);
    out.push_back(static_cast<char>(digit < 10 ? '0' + digit : 'a' + digit - 10));
  }
  if (negative_) out.push_back('-');
  std::reverse(out.begin(), out.end());
  return out;
}

BigInt BigInt::operator-() const {
  BigInt out = *this;
  out.negative_ = !negative_ && !limbs_.empty();
  return out;
}

BigInt operator+(const BigInt& a, const BigInt& b) {
  BigInt out;
  if (a.negative_ == b.negative_) {
    out.limbs_ = BigInt::add_magnitude(a.limbs_, b.limbs_);
    out.negative_ = a.negative_;
  } else if (BigInt::compare_magnitude(a.limbs_, b.limbs_) >= 0) {
    out.limbs_ = BigInt::subtract_magnitude(a.limbs_, b.limbs_);
    out.negative_ = a.negative_;
  } else {
    out.limbs_ = BigInt::subtract_magnitude(b.limbs_, a.limbs_);
    out.negative_ = b.negative_;
  }
  out.normalize();
  return out;
}

BigInt operator-(const BigInt& a, const BigInt& b) { return a + -b; }

BigInt operator*(const BigInt& a, const BigInt& b) {
  check_bits(a.n_bits() + b.n_bits());
  BigInt out;
  out.limbs_.assign(a.limbs_.size() + b.limbs_.size(), 0);
  for (size_t i = 0; i < a.limbs_.size(); ++i) {
    uint64_t carry = 0;
    for (size_t j = 0; j < b.limbs_.size(); ++j) {
      carry += uint64_t{a.limbs_[i]} * b.limbs_[j] + out.limbs_[i + j];
      out.limbs_[i + j] = static_cast<uint32_t>(carry);
      carry >>= 32;
    }
    out.limbs_[i + b.limbs_.size()] = static_cast<uint32_t>(carry);
  }
  out.negative_ = a.negative_ != b.negative_;
  out.normalize();
  return out;
}

void BigInt::floor_divide(const BigInt& a, const BigInt& b, BigInt& quotient, BigInt& remainder) {
  BigInt q;
  BigInt r;
  divide_magnitude(a.limbs_, b.limbs_, q.limbs_, r.limbs_);
  q.negative_ = a.negative_ != b.negative_;
  r.negative_ = a.negative_;
  q.normalize();
  r.normalize();
  if (!r.is_zero() && r.negative_ != b.negative_) {
    q = q - BigInt(1);
    r = r + b;
  }
  quotient = q;
  remainder = r;
}

BigInt BigInt::power(const BigInt& base, uint64_t exponent) {
  // A magnitude of at least 2 gains at least one bit a step.
  if (base.n_bits() > 1) check_bits(exponent);
  BigInt out(1);
  BigInt square = base;
  while (exponent != 0) {
    if ((exponent & 1) != 0) out = out * square;
    exponent >>= 1;
    if (exponent != 0) square = square * square;
  }
  return out;
}

int BigInt::compare(const BigInt& a, const BigInt& b) {
  if (a.negative_ != b.negative_) return a.negative_ ? -1 : 1;
  const int magnitude = compare_magnitude(a.limbs_, b.limbs_);
  return a.negative_ ? -magnitude : magnitude;
}

size_t BigInt::hash() const {
  size_t out = negative_ ? 1 : 0;
  for (const uint32_t limb : limbs_) out = out * 1000003 + limb;
  return out;
}

int BigInt::compare_magnitude(const Limbs& a, const Limbs& b) {
  if (a.size() != b.size()) return a.size() < b.size() ? -1 : 1;
  for (size_t i = a.size(); i-- > 0;) {
    if (a[i] != b[i]) return a[i] < b[i] ? -1 : 1;
  }
  return 0;
}

BigInt::Limbs BigInt::add_magnitude(const Limbs& a, const Limbs& b) {
  Limbs out(std::max(a.size(), b.size()) + 1, 0);
  uint64_t carry = 0;
  for (size_t i = 0; i < out.size(); ++i) {
    if (i < a.size()) carry += a[i];
    if (i < b.size()) carry += b[i];
    out[i] = static_cast<uint32_t>(carry);
    carry >>= 32;
  }
  return out;
}

BigInt::Limbs BigInt::subtract_magnitude(const Limbs& a, const Limbs& b) {
  Limbs out(a.size(), 0);
  int64_t borrow = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    int64_t digit = int64_t{a[i]} - borrow - (i < b.size() ? int64_t{b[i]} : 0);
    borrow = digit < 0 ? 1 : 0;
    out[i] = static_cast<uint32_t>(digit + (borrow << 32));
  }
  return out;
}

// Long division bit by bit: quadratic, and small numbers are all that templates divide.
void BigInt::divide_magnitude(const Limbs& a, const Limbs& b, Limbs& quotient, Limbs& remainder) {
  quotient.assign(a.size(), 0);
  remainder.clear();
  for (size_t bit = a.size() * 32; bit-- > 0;) {
    const uint32_t next = (a[bit / 32] >> (bit % 32)) & 1;
    multiply_add_small(remainder, 2, next);
    if (compare_magnitude(remainder, b) >= 0) {
      remainder = subtract_magnitude(remainder, b);
      while (!remainder.empty() && remainder.back() == 0) remainder.pop_back();
      quotient[bit / 32] |= uint32_t{1} << (bit % 32);
    }
  }
}

uint32_t BigInt::divide_small(Limbs& limbs, uint32_t divisor) {
  uint64_t rest = 0;
  for (size_t i = limbs.size(); i-- > 0;) {
    rest = (rest << 32) | limbs[i];
    limbs[i] = static_cast<uint32_t>(rest / divisor);
    rest %= divisor;
  }
  while (!limbs.empty() && limbs.back() == 0) limbs.pop_back();
  return static_cast<uint32_t>(rest);
}

void BigInt::multiply_add_small(Limbs& limbs, uint32_t factor, uint32_t addend) {
  uint64_t carry = addend;
  for (uint32_t& limb : limbs) {
    carry += uint64_t{limb} * factor;
    limb = static_cast<uint32_t>(carry);
    carry >>= 32;
  }
  if (carry != 0) limbs.push_back(static_cast<uint32_t>(carry));
}

}  // namespace nibble::jinja
