// A test framework in a few lines: TEST defines a test, EXPECT_TRUE and EXPECT_NEAR record failures,
// and run_tests runs all tests, prints what failed, and returns the exit status.
#pragma once

#include <cmath>
#include <cstdio>
#include <vector>

struct Test {
  const char* name;
  void (*run)();
};

inline std::vector<Test>& tests() {
  static std::vector<Test> all;
  return all;
}

inline int& failures() {
  static int count = 0;
  return count;
}

inline bool add_test(const char* name, void (*run)()) {
  tests().push_back({name, run});
  return true;
}

inline void fail(const char* file, int line, const char* text) {
  std::printf("%s:%d: %s\n", file, line, text);
  ++failures();
}

inline int run_tests() {
  for (const Test& test : tests()) {
    const int failures_before = failures();
    test.run();
    std::printf("%s %s\n", failures() == failures_before ? "passed" : "FAILED", test.name);
  }
  return failures() == 0 ? 0 : 1;
}

#define TEST(name)                                             \
  static void name();                                          \
  static const bool registered_##name = add_test(#name, name); \
  static void name()

#define EXPECT_TRUE(condition) ((condition) ? void() : fail(__FILE__, __LINE__, #condition))
#define EXPECT_NEAR(a, b, tolerance) \
  (std::abs((a) - (b)) <= (tolerance) ? void() : fail(__FILE__, __LINE__, #a " is not " #b))
