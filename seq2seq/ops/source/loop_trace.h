// Records the parallel loops of kernels, if compiled with SEQ2SEQ_TRACE_LOOPS: for the model of many
// threads in benchmarks/scaling.py. Else a Traced does nothing.
//
// All iterations then run on one thread, split as for SEQ2SEQ_THREADS threads, of which there need
// not be as many processors. When the process ends, a line is written for each loop and each kernel
// to the file that SEQ2SEQ_LOOP_TRACE names, those within before the one they are in:
//
//   depth,file:line,iterations (0: a kernel),nanoseconds
#pragma once

#include <cstdint>

#ifdef SEQ2SEQ_TRACE_LOOPS
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <vector>
#endif

namespace seq2seq {

#ifdef SEQ2SEQ_TRACE_LOOPS
inline constexpr bool kTraceLoops = true;

class LoopTrace {
 public:
  struct Record {
    int64_t depth;
    const char* file;
    int line;
    int64_t iterations, nanoseconds;
  };

  static LoopTrace& instance() {
    static LoopTrace trace;
    return trace;
  }
  ~LoopTrace() {
    const char* path = std::getenv("SEQ2SEQ_LOOP_TRACE");
    if (path == nullptr) return;
    std::ofstream out(path);
    for (const Record& r : records) {
      out << r.depth << ',' << r.file << ':' << r.line << ',' << r.iterations << ','
          << r.nanoseconds << '\n';
    }
  }

  int64_t depth = 0;
  std::vector<Record> records;
};

// Records the scope that it lives in.
class Traced {
 public:
  Traced(int64_t iterations, const char* file, int line)
      : record_{LoopTrace::instance().depth++, file, line, iterations, now()} {}
  ~Traced() {
    record_.nanoseconds = now() - record_.nanoseconds;
    --LoopTrace::instance().depth;
    LoopTrace::instance().records.push_back(record_);
  }
  Traced(const Traced&) = delete;
  Traced& operator=(const Traced&) = delete;

 private:
  static int64_t now() { return std::chrono::steady_clock::now().time_since_epoch().count(); }

  LoopTrace::Record record_;
};
#else
inline constexpr bool kTraceLoops = false;

struct Traced {
  Traced(int64_t /*iterations*/, const char* /*file*/, int /*line*/) {}
};
#endif

}  // namespace seq2seq
