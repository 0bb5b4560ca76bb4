// How ops are defined, with TensorFlow's C interface. An op is a function of two structs, whose
// fields and specifications are in the same order:
//
//   struct DenseInputs {
//     static constexpr const char* kSpecs[] = {"x: T", "kernel: float", "bias: float"};
//     Tensor x, kernel, bias;
//   };
//   struct DenseOutputs {
//     static constexpr const char* kSpecs[] = {"y: T"};
//     Output y;
//   };
//   void dense(const DenseInputs& in, const DenseOutputs& out, bool tanh) {
//     const Tensor y = out.y.allocate({in.x.dim(0), in.kernel.dim(1)});
//     ...
//   }
//   const bool registered = register_op<dense, kTanh>("Seq2seqDense", {kMatrixTypes});
//
// What a kernel throws becomes TensorFlow's error.
#pragma once

#include <tensorflow/c/kernels.h>
#include <tensorflow/c/ops.h>
#include <tensorflow/c/tf_tensor.h>

#include <exception>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "simd.h"

namespace seq2seq {

using Dims = std::vector<int64_t>;

struct StatusDeleter {
  void operator()(TF_Status* status) const { TF_DeleteStatus(status); }
};
struct TensorDeleter {
  void operator()(TF_Tensor* tensor) const { TF_DeleteTensor(tensor); }
};
using Status = std::unique_ptr<TF_Status, StatusDeleter>;

inline Status new_status() { return Status(TF_NewStatus()); }

// An error of TensorFlow itself.
struct StatusError : std::runtime_error {
  TF_Code code;
  explicit StatusError(const Status& status)
      : std::runtime_error(TF_Message(status.get())), code(TF_GetCode(status.get())) {}
};

inline void throw_if_error(const Status& status) {
  if (TF_GetCode(status.get()) != TF_OK) throw StatusError(status);
}

class Tensor {
 public:
  explicit Tensor(TF_Tensor* tensor) : tensor_(tensor) {}
  template <typename T>
  T* data() const {
    return static_cast<T*>(TF_TensorData(tensor_.get()));
  }
  // Null if there are no elements.
  template <typename T>
  T* data_or_null() const {
    return size() ? data<T>() : nullptr;
  }
  int64_t dim(int axis) const { return TF_Dim(tensor_.get(), axis); }
  Dims dims() const {
    Dims dims(TF_NumDims(tensor_.get()));
    for (size_t axis = 0; axis < dims.size(); ++axis) dims[axis] = dim(static_cast<int>(axis));
    return dims;
  }
  int64_t size() const { return TF_TensorElementCount(tensor_.get()); }
  bool is_bfloat16() const { return TF_TensorType(tensor_.get()) == TF_BFLOAT16; }

 private:
  std::unique_ptr<TF_Tensor, TensorDeleter> tensor_;
};

inline Tensor get_input(TF_OpKernelContext* context, int index) {
  TF_Tensor* tensor = nullptr;
  const Status status = new_status();
  TF_GetInput(context, index, &tensor, status.get());
  throw_if_error(status);
  return Tensor(tensor);
}

// An input whose memory an output may take over. It does not hold its tensor, since TensorFlow
// reuses only memory that nobody holds; its data stay valid until the output is allocated, and
// after that where the output has the same memory.
class ReusableInput {
 public:
  ReusableInput(TF_OpKernelContext* context, int index)
      : ReusableInput(get_input(context, index), index) {}
  template <typename T>
  T* data() const {
    return static_cast<T*>(data_);
  }
  const Dims& dims() const { return dims_; }
  bool is_bfloat16() const { return is_bfloat16_; }
  int index() const { return index_; }

 private:
  ReusableInput(const Tensor& tensor, int index)
      : index_(index),
        data_(tensor.data<void>()),
        dims_(tensor.dims()),
        is_bfloat16_(tensor.is_bfloat16()) {}

  int index_;
  void* data_;
  Dims dims_;
  bool is_bfloat16_;
};

// The last inputs of an op, any number of them.
class InputList {
 public:
  InputList(TF_OpKernelContext* context, int first) : context_(context), first_(first) {}
  int count() const { return TF_NumInputs(context_) - first_; }
  Tensor operator[](int i) const { return get_input(context_, first_ + i); }

 private:
  TF_OpKernelContext* context_;
  int first_;
};

// Becomes the field of an op's struct of inputs.
struct InputSlot {
  TF_OpKernelContext* context;
  int index;
  operator Tensor() const { return get_input(context, index); }
  operator ReusableInput() const { return {context, index}; }
  operator InputList() const { return {context, index}; }
};

// An output that is still to be allocated. Its memory is not initialised.
class Output {
 public:
  Output(TF_OpKernelContext* context, int index) : context_(context), index_(index) {}

  Tensor allocate(const Dims& dims) const { return allocate_or_reuse(dims, {}); }
  // Takes over the memory of an input, unless somebody else needs that.
  Tensor allocate(const Dims& dims, const ReusableInput& reused) const {
    return allocate_or_reuse(dims, {reused.index()});
  }
  bool is_bfloat16() const { return TF_ExpectedOutputDataType(context_, index_) == TF_BFLOAT16; }

 private:
  Tensor allocate_or_reuse(const Dims& dims, std::vector<int> reused_inputs) const {
    const Status status = new_status();
    TF_Tensor* tensor = TF_ForwardInputOrAllocateOutput(
        context_, reused_inputs.data(), static_cast<int>(reused_inputs.size()), index_, dims.data(),
        static_cast<int>(dims.size()), nullptr, status.get());
    throw_if_error(status);
    return Tensor(tensor);
  }

  TF_OpKernelContext* context_;
  int index_;
};

// Makes an op's struct from slots in the order of its fields, which may be structs themselves.
template <typename Struct, typename Slot, int... indices>
Struct make_slots(TF_OpKernelContext* context, std::integer_sequence<int, indices...>) {
  return Struct{Slot{context, indices}...};
}
template <typename Struct, typename Slot>
Struct make_slots(TF_OpKernelContext* context) {
  return make_slots<Struct, Slot>(
      context, std::make_integer_sequence<int, static_cast<int>(std::size(Struct::kSpecs))>{});
}

// The name of the flag of ops that have none.
inline constexpr char kNoFlag[] = "";
// The attribute T of ops whose matrices are float32 or bfloat16.
inline constexpr char kMatrixTypes[] = "T: {float, bfloat16}";

// Calls `body` with a value of the type that matrices have.
template <typename Body>
void dispatch_type(bool is_bfloat16, const Body& body) {
  is_bfloat16 ? body(BFloat16{}) : body(float{});
}

// The structs of a kernel, from its signature: with or without a flag.
template <typename Kernel>
struct KernelTraits;
template <typename I, typename O>
struct KernelTraits<void (*)(const I&, const O&)> {
  using Inputs = I;
  using Outputs = O;
  static constexpr bool kHasFlag = false;
};
template <typename I, typename O>
struct KernelTraits<void (*)(const I&, const O&, bool)> {
  using Inputs = I;
  using Outputs = O;
  static constexpr bool kHasFlag = true;
};

// The state of a kernel for TensorFlow: the value of its flag.
struct KernelState {
  bool flag;
};

template <const char* flag>
void* create_kernel(TF_OpKernelConstruction* construction) {
  if (*flag == 0) return new KernelState{false};
  unsigned char value = 0;
  const Status status = new_status();
  TF_OpKernelConstruction_GetAttrBool(construction, flag, &value, status.get());
  if (TF_GetCode(status.get()) != TF_OK) {
    TF_OpKernelConstruction_Failure(construction, status.get());
  }
  return new KernelState{value != 0};
}

inline void delete_kernel(void* state) { delete static_cast<KernelState*>(state); }

inline void fail(TF_OpKernelContext* context, TF_Code code, const std::exception& error) {
  const Status status = new_status();
  TF_SetStatus(status.get(), code, error.what());
  TF_OpKernelContext_Failure(context, status.get());
}

template <auto kernel>
void run_kernel(void* state, TF_OpKernelContext* context) {
  using Traits = KernelTraits<decltype(kernel)>;
  try {
    const auto in = make_slots<typename Traits::Inputs, InputSlot>(context);
    const auto out = make_slots<typename Traits::Outputs, Output>(context);
    if constexpr (Traits::kHasFlag) {
      kernel(in, out, static_cast<KernelState*>(state)->flag);
    } else {
      kernel(in, out);
    }
  } catch (const std::logic_error& error) {
    fail(context, TF_INVALID_ARGUMENT, error);
  } catch (const std::bad_alloc& error) {
    fail(context, TF_RESOURCE_EXHAUSTED, error);
  } catch (const StatusError& error) {
    fail(context, error.code, error);
  } catch (const std::exception& error) {
    fail(context, TF_INTERNAL, error);
  }
}

inline void unknown_shapes(TF_ShapeInferenceContext* context, TF_Status* status) {
  TF_ShapeInferenceContextSetUnknownShape(context, status);
}

// Registers an op and its kernel for CPUs; a flag becomes its first attribute.
template <auto kernel, const char* flag = kNoFlag>
bool register_op(const char* name, std::initializer_list<const char*> attributes) {
  using Traits = KernelTraits<decltype(kernel)>;
  static_assert(Traits::kHasFlag == (*flag != 0), "the kernel takes a flag if there is one");
  TF_OpDefinitionBuilder* definition = TF_NewOpDefinitionBuilder(name);
  if (*flag) TF_OpDefinitionBuilderAddAttr(definition, (std::string(flag) + ": bool").c_str());
  for (const char* spec : attributes) TF_OpDefinitionBuilderAddAttr(definition, spec);
  for (const char* spec : Traits::Inputs::kSpecs) TF_OpDefinitionBuilderAddInput(definition, spec);
  for (const char* spec : Traits::Outputs::kSpecs)
    TF_OpDefinitionBuilderAddOutput(definition, spec);
  TF_OpDefinitionBuilderSetShapeInferenceFunction(definition, unknown_shapes);
  const Status status = new_status();
  TF_RegisterOpDefinition(definition, status.get());
  throw_if_error(status);
  TF_KernelBuilder* builder =
      TF_NewKernelBuilder(name, "CPU", create_kernel<flag>, run_kernel<kernel>, delete_kernel);
  TF_RegisterKernelBuilder(name, builder, status.get());
  throw_if_error(status);
  return true;
}

}  // namespace seq2seq
