#include "cli/exit_code.h"

#include <gtest/gtest.h>

#include "cli/console.h"

namespace nibble {
namespace {

TEST(ExitCode, EveryKindOfErrorHasItsDocumentedCode) {
  const auto code = [](ErrorCode kind) { return exit_code_of(Error(kind, "message")); };
  EXPECT_EQ(code(ErrorCode::kInvalidArgument), 2);
  EXPECT_EQ(code(ErrorCode::kAlreadyExists), 2);
  EXPECT_EQ(code(ErrorCode::kNotFound), 3);
  EXPECT_EQ(code(ErrorCode::kUnsupportedArchitecture), 4);
  EXPECT_EQ(code(ErrorCode::kOutOfMemory), 5);
  for (const ErrorCode kind :
       {ErrorCode::kPermission, ErrorCode::kIo, ErrorCode::kNoSpace, ErrorCode::kCorrupt,
        ErrorCode::kUnsupported, ErrorCode::kNotFinite, ErrorCode::kMismatch, ErrorCode::kLimit}) {
    EXPECT_EQ(code(kind), 1) << error_code_name(kind);
  }
}

TEST(ExitCode, ATemplateThatRefusesIsAFailureNotABadArgument) {
  const Error refused(ErrorCode::kInvalidArgument, "No messages", "x.jinja");
  EXPECT_EQ(exit_code_of(as_template_failure(refused)), 1);
  EXPECT_EQ(as_template_failure(refused).to_string(), refused.to_string());
  const Error limit(ErrorCode::kLimit, "too deep");
  EXPECT_EQ(as_template_failure(limit).code, ErrorCode::kLimit);
}

TEST(GeneralOptions, RefuseAnAbsurdNumberOfThreads) {
  GeneralOptions options;
  EXPECT_TRUE(options.check());
  options.n_threads = 4096;
  EXPECT_TRUE(options.check());
  options.n_threads = 100'000'000;
  ASSERT_FALSE(options.check());
  EXPECT_EQ(options.check().error().code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace nibble
