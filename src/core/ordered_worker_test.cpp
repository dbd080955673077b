#include "core/ordered_worker.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

namespace nibble {
namespace {

TEST(OrderedWorker, KeepsTheOrderAndTheLimit) {
  constexpr uint64_t kLimit = 10;
  std::vector<int> done;
  std::atomic<uint64_t> n_done_weight{0};
  uint64_t n_pushed_weight = 0;
  OrderedWorker worker(kLimit);
  for (int i = 0; i < 200; ++i) {
    const uint64_t weight = i % 7 == 0 ? 25 : 3;
    ASSERT_TRUE(worker.push(weight, [&, i, weight]() -> Status {
      if (i % 20 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      done.push_back(i);
      n_done_weight += weight;
      return {};
    }));
    n_pushed_weight += weight;
    ASSERT_LE(n_pushed_weight - n_done_weight.load(), std::max(weight, kLimit));
  }
  ASSERT_TRUE(worker.drain());
  ASSERT_EQ(done.size(), 200u);
  for (int i = 0; i < 200; ++i) EXPECT_EQ(done[static_cast<size_t>(i)], i);
}

TEST(OrderedWorker, StopsAtTheFirstError) {
  OrderedWorker worker(100);
  std::atomic<int> n_run{0};
  ASSERT_TRUE(worker.push(1, [&]() -> Status {
    ++n_run;
    return {};
  }));
  ASSERT_TRUE(worker.push(1, []() -> Status { return Error(ErrorCode::kNoSpace, "full"); }));
  Status status;
  while (status) {
    status = worker.push(1, [&]() -> Status { return Error(ErrorCode::kIo, "second"); });
  }
  EXPECT_EQ(status.error().code, ErrorCode::kNoSpace);
  EXPECT_EQ(worker.drain().error().message, "full");
  EXPECT_EQ(n_run.load(), 1);
}

TEST(OrderedWorker, DropsWhatIsLeftWhenItDies) {
  std::atomic<int> n_run{0};
  {
    OrderedWorker worker(1000);
    for (int i = 0; i < 50; ++i) {
      ASSERT_TRUE(worker.push(1, [&]() -> Status {
        ++n_run;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        return {};
      }));
    }
  }
  EXPECT_LT(n_run.load(), 50);
}

}  // namespace
}  // namespace nibble
