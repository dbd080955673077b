// The main of every test program: GoogleTest, quiet logs, and the forced CPU implementation.
#include <gtest/gtest.h>

#include "core/log.h"

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  nibble::set_log_level(nibble::LogLevel::kError);
  return RUN_ALL_TESTS();
}
