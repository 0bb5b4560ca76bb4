// AMX on processors without it, for tests: an instruction that the processor refuses (SIGILL) is
// decoded, and done on tiles in memory. It holds for the thread, as the registers would.
//
// Link it into a program, or load it before one: LD_PRELOAD=amx_emulator.so python ...
//
// Encodings and operations are those of the Intel 64 and IA-32 Architectures Software Developer's
// Manual, volume 2: VEX.128.0F38.W0 with the opcodes 49 (configuration, zero), 4B (load, store), 5C
// (bfloat16) and 5E (8 bits). What it does not know ends the program as before.
#include <ucontext.h>

#include <csignal>
#include <cstdint>
#include <cstring>

namespace {

constexpr int kRows = 16, kRowBytes = 64, kTiles = 8;

struct Tile {
  uint8_t bytes[kRows][kRowBytes];
};
struct State {
  uint8_t configuration[64];
  Tile tiles[kTiles];

  int rows(int tile) const { return configuration[48 + tile]; }
  int row_bytes(int tile) const {
    return configuration[16 + 2 * tile] | configuration[17 + 2 * tile] << 8;
  }
  bool configured() const { return configuration[0] == 1; }
};
thread_local State state;

// The registers of the interrupted program, in the order of their numbers in instructions.
constexpr int kRegisters[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                                REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                REG_R12, REG_R13, REG_R14, REG_R15};

// Returns a register's value as an address.
uint8_t* address(int64_t value) {
  uint8_t* result;
  std::memcpy(static_cast<void*>(&result), &value, sizeof result);
  return result;
}

// An instruction of the form VEX.128.0F38.W0.
struct Instruction {
  const uint8_t* next;  // what has not been read
  const greg_t* registers;
  bool valid = false;
  int prefix = 0;                                        // 0: none, 1: 66, 2: F3, 3: F2
  int opcode = 0, mod = 0, reg = 0, rm = 0, second = 0;  // `second` is VEX.vvvv
  int64_t base = 0, index = 0;                           // of an operand in memory
  bool relative = false;

  Instruction(const uint8_t* code, const greg_t* values) : next(code), registers(values) {
    if (next[0] != 0xc4 || (next[1] & 0x1f) != 2 || (next[2] & 0x84) != 0) return;
    const bool x = !(next[1] & 0x40), b = !(next[1] & 0x20);
    second = ~(next[2] >> 3) & 0xf;
    prefix = next[2] & 3;
    opcode = next[3];
    mod = next[4] >> 6;
    reg = next[4] >> 3 & 7;
    rm = next[4] & 7;
    next += 5;
    valid = true;
    if (mod != 3) read_address(x, b);
  }

 private:
  int64_t value(int number) const { return registers[kRegisters[number]]; }

  template <typename Displacement>
  int64_t read_displacement() {
    Displacement displacement;
    std::memcpy(&displacement, next, sizeof displacement);
    next += sizeof displacement;
    return displacement;
  }

  void read_address(bool x, bool b) {
    bool has_base = !(mod == 0 && rm == 5);
    relative = !has_base;
    int base_number = rm + 8 * b;
    if (rm == 4) {
      const uint8_t sib = *next++;
      base_number = (sib & 7) + 8 * b;
      const int index_number = (sib >> 3 & 7) + 8 * x;
      if (index_number != 4) index = value(index_number) << (sib >> 6);
      if (mod == 0 && (sib & 7) == 5) {
        has_base = false;
        base = read_displacement<int32_t>();
      }
    }
    if (has_base) base = value(base_number);
    if (relative || mod == 2) base += read_displacement<int32_t>();
    if (mod == 1) base += read_displacement<int8_t>();
    if (relative) base += reinterpret_cast<int64_t>(next);
  }
};

float to_float(uint16_t bits) {
  const uint32_t wide = static_cast<uint32_t>(bits) << 16;
  float result;
  std::memcpy(&result, &wide, sizeof result);
  return result;
}

template <typename T>
T element(const uint8_t* row, int index) {
  T result;
  std::memcpy(&result, row + index * sizeof(T), sizeof result);
  return result;
}

// Calls `multiply_add(sum, row of a, k, row of b, column)` for all elements of the sums and depths.
template <typename Sum, typename MultiplyAdd>
void for_products(int sums, int a, int b, const MultiplyAdd& multiply_add) {
  for (int i = 0; i < state.rows(sums); ++i) {
    for (int k = 0; k < state.row_bytes(a) / 4; ++k) {
      for (int j = 0; j < state.row_bytes(sums) / 4; ++j) {
        uint8_t* at = state.tiles[sums].bytes[i] + j * sizeof(Sum);
        Sum sum;
        std::memcpy(&sum, at, sizeof sum);
        multiply_add(sum, state.tiles[a].bytes[i], k, state.tiles[b].bytes[k], j);
        std::memcpy(at, &sum, sizeof sum);
      }
    }
  }
}

void multiply_bfloat16(int sums, int a, int b) {
  for_products<float>(sums, a, b,
                      [](float& sum, const uint8_t* left, int k, const uint8_t* right, int j) {
                        for (int i = 0; i < 2; ++i) {
                          sum += to_float(element<uint16_t>(left, 2 * k + i)) *
                                 to_float(element<uint16_t>(right, 2 * j + i));
                        }
                      });
}

template <typename Left, typename Right>
void multiply_bytes(int sums, int a, int b) {
  for_products<int32_t>(
      sums, a, b, [](int32_t& sum, const uint8_t* left, int k, const uint8_t* right, int j) {
        for (int i = 0; i < 4; ++i) {
          sum += element<Left>(left, 4 * k + i) * element<Right>(right, 4 * j + i);
        }
      });
}

bool configure(const Instruction& in) {
  uint8_t* memory = address(in.base + in.index);
  if (in.prefix == 3 && in.mod == 3) {  // TILEZERO
    state.tiles[in.reg] = {};
    return true;
  }
  if (in.reg != 0 || in.prefix > 1) return false;
  if (in.prefix == 1) {  // STTILECFG
    std::memcpy(memory, state.configuration, sizeof state.configuration);
  } else {  // TILERELEASE, LDTILECFG
    state = {};
    if (in.mod != 3) std::memcpy(state.configuration, memory, sizeof state.configuration);
  }
  return true;
}

bool load_or_store(const Instruction& in) {
  if (in.mod == 3 || in.prefix == 0) return false;
  for (int row = 0; row < state.rows(in.reg); ++row) {
    uint8_t* memory = address(in.base + row * in.index);
    uint8_t* tile = state.tiles[in.reg].bytes[row];
    in.prefix == 2 ? std::memcpy(memory, tile, state.row_bytes(in.reg))
                   : std::memcpy(tile, memory, state.row_bytes(in.reg));
  }
  return true;
}

bool multiply(const Instruction& in) {
  if (in.opcode == 0x5c) {
    if (in.prefix != 2) return false;
    multiply_bfloat16(in.reg, in.rm, in.second);
    return true;
  }
  switch (in.prefix) {
    case 0:
      multiply_bytes<uint8_t, uint8_t>(in.reg, in.rm, in.second);
      break;
    case 1:
      multiply_bytes<uint8_t, int8_t>(in.reg, in.rm, in.second);
      break;
    case 2:
      multiply_bytes<int8_t, uint8_t>(in.reg, in.rm, in.second);
      break;
    default:
      multiply_bytes<int8_t, int8_t>(in.reg, in.rm, in.second);
  }
  return true;
}

bool emulate(const Instruction& in) {
  if (!in.valid) return false;
  if (in.opcode == 0x49) return configure(in);
  if (!state.configured()) return false;
  if (in.opcode == 0x4b) return load_or_store(in);
  return (in.opcode == 0x5c || in.opcode == 0x5e) && in.mod == 3 && multiply(in);
}

void on_illegal_instruction(int /*signal*/, siginfo_t* /*info*/, void* context) {
  greg_t* registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  const Instruction in(address(registers[REG_RIP]), registers);
  if (emulate(in)) {
    registers[REG_RIP] = reinterpret_cast<greg_t>(in.next);
  } else {
    std::signal(SIGILL, SIG_DFL);  // the instruction is tried again, and ends the program
  }
}

const bool registered = [] {
  struct sigaction action = {};
  action.sa_sigaction = on_illegal_instruction;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  return sigaction(SIGILL, &action, nullptr) == 0;
}();

}  // namespace
