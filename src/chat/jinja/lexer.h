// Cuts a template into tokens, and decides which white space around tags belongs to the text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "chat/jinja/failure.h"

namespace nibble::jinja {

enum class TokenKind : uint8_t {
  kData,           ///< text outside of tags
  kVariableBegin,  ///< {{
  kVariableEnd,
  kBlockBegin,  ///< {%
  kBlockEnd,
  kName,
  kString,   ///< text holds the value
  kInteger,  ///< text holds the digits with prefix, without separators
  kFloat,
  kOperator,  ///< text holds the symbol
  kEnd,
};

struct Token {
  TokenKind kind;
  Position position;
  std::string text;
};

/// The template's text with every kind of line end made "\n", and the last one dropped.
std::string normalize_newlines(std::string_view source);

/// All tokens of a normalized template, the last one of kind kEnd. Stops on what cannot begin a
/// token, unbalanced brackets, and comments or raw blocks without an end.
std::vector<Token> tokenize(std::string_view source);

/// A token for messages: its text, or what kind of thing it is.
std::string describe(const Token& token);

}  // namespace nibble::jinja
