// Large pages for large arrays: the processor then has to look up where a page is far less often.
#pragma once

#include <cstdint>
#include <mutex>
#include <unordered_set>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace seq2seq {

// Asks for large pages where an array fills them, once for each; what cannot be had is left alone.
// Linux gives them where `transparent_hugepage` is `madvise` (the usual setting) or `always`.
inline void prefer_large_pages(const void* data, int64_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  constexpr uintptr_t kPage = 1 << 21;
#if defined(MADV_COLLAPSE)
  constexpr int kCollapse = MADV_COLLAPSE;
#else
  constexpr int kCollapse = 25;  // since Linux 6.1; others refuse it
#endif
  static std::mutex& mutex = *new std::mutex;
  static auto& asked = *new std::unordered_set<uintptr_t>;
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(data) + kPage - 1) / kPage * kPage;
  const uintptr_t end = (reinterpret_cast<uintptr_t>(data) + bytes) / kPage * kPage;
  if (begin >= end) return;
  const std::lock_guard<std::mutex> lock(mutex);
  for (uintptr_t page = begin; page < end; page += kPage) {
    if (!asked.insert(page).second) continue;
    madvise(reinterpret_cast<void*>(page), kPage, MADV_HUGEPAGE);
    madvise(reinterpret_cast<void*>(page), kPage, kCollapse);
  }
#endif
}

}  // namespace seq2seq
