// Memory for a kernel's own use.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <map>
#include <mutex>
#include <new>
#include <vector>

namespace seq2seq {

// Blocks that no buffer uses now. They are kept: memory that is given back has to be asked for
// again at the next step, and the system fills it with zeros first, page by page.
class SpareBlocks {
 public:
  // Sizes are rounded up to one of four for each power of two, so that blocks fit again.
  static int64_t rounded(int64_t size) {
    int64_t step = 1 << 10;
    while (8 * step <= size) step *= 2;
    return (size + step - 1) / step * step;
  }

  // Returns a block of `size` floats, which is a rounded one; it starts at a cache line.
  float* take(int64_t size) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      std::vector<float*>& spare = blocks_[size];
      if (!spare.empty()) {
        float* block = spare.back();
        spare.pop_back();
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

// Those of this process; they live as long as it does.
inline SpareBlocks& spare_blocks() {
  static SpareBlocks& blocks = *new SpareBlocks;
  return blocks;
}

// Memory that starts at a cache line, not initialised.
class Buffer {
 public:
  explicit Buffer(int64_t size)
      : size_(SpareBlocks::rounded(size)), data_(spare_blocks().take(size_)) {}
  ~Buffer() { spare_blocks().give_back(data_, size_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  float* data() const { return data_; }

 private:
  int64_t size_;
  float* data_;
};

}  // namespace seq2seq
