// TensorFlow's C interface, as far as the kernels need it.
#pragma once

#include <tensorflow/c/kernels.h>
#include <tensorflow/c/ops.h>
#include <tensorflow/c/tf_tensor.h>

#include <exception>
#include <initializer_list>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "vector.h"

namespace seq2seq {

struct StatusDeleter {
  void operator()(TF_Status* status) const { TF_DeleteStatus(status); }
};
struct TensorDeleter {
  void operator()(TF_Tensor* tensor) const { TF_DeleteTensor(tensor); }
};
using Status = std::unique_ptr<TF_Status, StatusDeleter>;

inline Status new_status() { return Status(TF_NewStatus()); }

// What TensorFlow itself refused.
struct Refusal : std::runtime_error {
  TF_Code code;
  explicit Refusal(const Status& status)
      : std::runtime_error(TF_Message(status.get())), code(TF_GetCode(status.get())) {}
};

inline void check(const Status& status) {
  if (TF_GetCode(status.get()) != TF_OK) throw Refusal(status);
}

class Tensor {
 public:
  explicit Tensor(TF_Tensor* tensor) : tensor_(tensor) {}
  template <typename T>
  T* data() const {
    return static_cast<T*>(TF_TensorData(tensor_.get()));
  }
  // Null where there are no elements.
  template <typename T>
  T* data_if_any() const {
    return size() ? data<T>() : nullptr;
  }
  int64_t dim(int axis) const { return TF_Dim(tensor_.get(), axis); }
  std::vector<int64_t> dims() const {
    std::vector<int64_t> dims(TF_NumDims(tensor_.get()));
    for (size_t axis = 0; axis < dims.size(); ++axis) dims[axis] = dim(static_cast<int>(axis));
    return dims;
  }
  int64_t size() const { return TF_TensorElementCount(tensor_.get()); }

 private:
  std::unique_ptr<TF_Tensor, TensorDeleter> tensor_;
};

// One call of an op.
class Call {
 public:
  explicit Call(TF_OpKernelContext* context) : context_(context) {}

  Tensor input(int index) const {
    TF_Tensor* tensor = nullptr;
    const Status status = new_status();
    TF_GetInput(context_, index, &tensor, status.get());
    check(status);
    return Tensor(tensor);
  }

  // The data of an input, without the hold on it that keeps its memory from being reused.
  template <typename T>
  const T* input_data(int index) const {
    return input(index).template data<T>();
  }

  // An output, not initialised; where possible the memory of an input that nobody else needs, which
  // must not be held as a `Tensor`.
  Tensor output(int index, std::vector<int64_t> dims, int reused_input = -1) const {
    const Status status = new_status();
    TF_Tensor* tensor = TF_ForwardInputOrAllocateOutput(
        context_, &reused_input, reused_input < 0 ? 0 : 1, index, dims.data(),
        static_cast<int>(dims.size()), nullptr, status.get());
    check(status);
    return Tensor(tensor);
  }

  bool takes_bfloat16() const { return TF_InputDatatype(context_, 0) == TF_BFLOAT16; }
  bool gives_bfloat16() const { return TF_ExpectedOutputDataType(context_, 0) == TF_BFLOAT16; }
  int inputs() const { return TF_NumInputs(context_); }

 private:
  TF_OpKernelContext* context_;
};

// An op; its first attribute may be a flag, which its kernel is told.
struct OpDefinition {
  const char* name;
  std::initializer_list<const char*> inputs, outputs, attributes;
};

inline void unknown_shapes(TF_ShapeInferenceContext* context, TF_Status* status) {
  TF_ShapeInferenceContextSetUnknownShape(context, status);
}

inline constexpr char kNoFlag[] = "";

// The flag's value is the state of a kernel.
template <const char* flag>
void* create_kernel(TF_OpKernelConstruction* construction) {
  auto* value = new unsigned char(0);
  if (*flag == 0) return value;
  const Status status = new_status();
  TF_OpKernelConstruction_GetAttrBool(construction, flag, value, status.get());
  if (TF_GetCode(status.get()) != TF_OK) {
    TF_OpKernelConstruction_Failure(construction, status.get());
  }
  return value;
}

inline void delete_kernel(void* value) { delete static_cast<unsigned char*>(value); }

inline void fail(TF_OpKernelContext* context, TF_Code code, const std::exception& error) {
  const Status status = new_status();
  TF_SetStatus(status.get(), code, error.what());
  TF_OpKernelContext_Failure(context, status.get());
}

// Runs a kernel, `(flag, call)`; what it throws becomes TensorFlow's error.
template <void (*kernel)(bool, const Call&)>
void run_kernel(void* value, TF_OpKernelContext* context) {
  try {
    kernel(*static_cast<unsigned char*>(value) != 0, Call(context));
  } catch (const std::logic_error& error) {
    fail(context, TF_INVALID_ARGUMENT, error);
  } catch (const std::bad_alloc& error) {
    fail(context, TF_RESOURCE_EXHAUSTED, error);
  } catch (const Refusal& error) {
    fail(context, error.code, error);
  } catch (const std::exception& error) {
    fail(context, TF_INTERNAL, error);
  }
}

// Registers an op and its kernel for CPUs.
template <const char* flag, void (*kernel)(bool, const Call&)>
bool register_op(const OpDefinition& op) {
  TF_OpDefinitionBuilder* definition = TF_NewOpDefinitionBuilder(op.name);
  if (*flag) TF_OpDefinitionBuilderAddAttr(definition, (std::string(flag) + ": bool").c_str());
  for (const char* spec : op.attributes) TF_OpDefinitionBuilderAddAttr(definition, spec);
  for (const char* spec : op.inputs) TF_OpDefinitionBuilderAddInput(definition, spec);
  for (const char* spec : op.outputs) TF_OpDefinitionBuilderAddOutput(definition, spec);
  TF_OpDefinitionBuilderSetShapeInferenceFunction(definition, unknown_shapes);
  const Status status = new_status();
  TF_RegisterOpDefinition(definition, status.get());
  check(status);
  TF_KernelBuilder* builder =
      TF_NewKernelBuilder(op.name, "CPU", create_kernel<flag>, run_kernel<kernel>, delete_kernel);
  TF_RegisterKernelBuilder(op.name, builder, status.get());
  check(status);
  return true;
}

// What an op's matrices are made of.
inline constexpr char kMatrixType[] = "T: {float, bfloat16}";

}  // namespace seq2seq
