// Typed reading of a GGUF file's metadata, with errors that name the key.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "formats/gguf.h"

namespace nibble {

/// Borrows the header. Integers are taken from fields of any integer kind, numbers also from
/// integers. A field of another kind is an error (kCorrupt) even where the field may be absent.
class GgufMetadata {
 public:
  /// `subject` names the file in errors.
  GgufMetadata(const GgufHeader& header, std::string subject)
      : header_(header), subject_(std::move(subject)) {}

  /// Nothing where there is no such field.
  Result<std::optional<uint64_t>> find_count(std::string_view key) const;
  Result<std::optional<double>> find_number(std::string_view key) const;
  Result<std::optional<std::string>> find_text(std::string_view key) const;
  Result<std::optional<bool>> find_boolean(std::string_view key) const;
  /// Arrays of integers or booleans, as integers.
  Result<std::optional<std::vector<uint64_t>>> find_counts(std::string_view key) const;
  /// nullptr where there is no such field; borrowed from the header.
  Result<const std::vector<std::string>*> find_texts(std::string_view key) const;

  /// Errors also: kCorrupt where there is no such field.
  Result<uint64_t> count(std::string_view key) const;
  Result<double> number(std::string_view key) const;
  Result<std::string> text(std::string_view key) const;
  /// A count that some writers give once and others once a block: then all but zeros must agree.
  Result<uint64_t> uniform_count(std::string_view key) const;

  const std::string& subject() const { return subject_; }
  Error corrupt(std::string message) const;

 private:
  Error wrong_kind(std::string_view key, std::string_view expected) const;
  Error missing(std::string_view key) const;

  const GgufHeader& header_;
  std::string subject_;
};

}  // namespace nibble
