// The main of every test program: GoogleTest, quiet logs, and the forced CPU implementation.
#include <gtest/gtest.h>

#include <cstdlib>

#include "core/log.h"
#include "tests/test_data.h"

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  if (const char* name = std::getenv("NIBBLE_CPU")) nibble::test::forced_cpu_implementation = name;
  nibble::set_log_level(nibble::LogLevel::kError);
  return RUN_ALL_TESTS();
}
