// Scratch memory of kernels, in blocks that are used again and again: freed memory would have to be
// asked for again at the next step, and the system fills it with zeros first, page by page.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <map>
#include <mutex>
#include <new>
#include <vector>

namespace seq2seq {

// Blocks that no buffer uses now, by size.
class BlockCache {
 public:
  // Rounds a size up to one of four for each power of two, so that blocks fit again.
  static int64_t rounded(int64_t size) {
    int64_t step = 1 << 10;
    while (8 * step <= size) step *= 2;
    return (size + step - 1) / step * step;
  }

  // Returns a block of `size` floats, a rounded size; it starts at a cache line.
  float* take(int64_t size) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      std::vector<float*>& blocks = blocks_[size];
      if (!blocks.empty()) {
        float* block = blocks.back();
        blocks.pop_back();
        return block;
      }
    }
    void* block = std::aligned_alloc(64, size * sizeof(float));
    if (block == nullptr) throw std::bad_alloc();
    return static_cast<float*>(block);
  }

  void give_back(float* block, int64_t size) {
    const std::lock_guard<std::mutex> lock(mutex_);
    blocks_[size].push_back(block);
  }

 private:
  std::mutex mutex_;
  std::map<int64_t, std::vector<float*>> blocks_;
};

// The cache of this process, which lives as long as it does.
inline BlockCache& block_cache() {
  static BlockCache& cache = *new BlockCache;
  return cache;
}

// At least `size` floats, not initialised, that start at a cache line.
class Buffer {
 public:
  explicit Buffer(int64_t size)
      : size_(BlockCache::rounded(size)), data_(block_cache().take(size_)) {}
  ~Buffer() { block_cache().give_back(data_, size_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  float* data() const { return data_; }

 private:
  int64_t size_;
  float* data_;
};

}  // namespace seq2seq
