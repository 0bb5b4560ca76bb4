// TensorFlow's C interface, as far as the kernels need it.
#pragma once

#include <tensorflow/c/kernels.h>
#include <tensorflow/c/ops.h>
#include <tensorflow/c/tf_tensor.h>

#include <exception>
#include <initializer_list>
#include <memory>
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

inline void check(const Status& status) {
  if (TF_GetCode(status.get()) != TF_OK) throw std::runtime_error(TF_Message(status.get()));
}

class Tensor {
 public:
  explicit Tensor(TF_Tensor* tensor) : tensor_(tensor) {}
  template <typename T>
  T* data() const {
    return static_cast<T*>(TF_TensorData(tensor_.get()));
  }
  int64_t dim(int axis) const { return TF_Dim(tensor_.get(), axis); }
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

  // An output, not initialised; where possible the memory of an input that nobody else needs.
  Tensor output(int index, std::vector<int64_t> dims, int reused_input = -1) const {
    const Status status = new_status();
    TF_Tensor* tensor = TF_ForwardInputOrAllocateOutput(
        context_, &reused_input, reused_input < 0 ? 0 : 1, index, dims.data(),
        static_cast<int>(dims.size()), nullptr, status.get());
    check(status);
    return Tensor(tensor);
  }

  bool takes_bfloat16() const { return TF_InputDatatype(context_, 0) == TF_BFLOAT16; }

 private:
  TF_OpKernelContext* context_;
};

// An op with one boolean attribute.
struct OpDefinition {
  const char* name;
  std::initializer_list<const char*> inputs, outputs;
};

inline void unknown_shapes(TF_ShapeInferenceContext* context, TF_Status* status) {
  TF_ShapeInferenceContextSetUnknownShape(context, status);
}

// The attribute's value is the state of a kernel.
template <const char* attribute>
void* create_kernel(TF_OpKernelConstruction* construction) {
  auto* value = new unsigned char(0);
  const Status status = new_status();
  TF_OpKernelConstruction_GetAttrBool(construction, attribute, value, status.get());
  if (TF_GetCode(status.get()) != TF_OK) {
    TF_OpKernelConstruction_Failure(construction, status.get());
  }
  return value;
}

inline void delete_kernel(void* value) { delete static_cast<unsigned char*>(value); }

// Runs a kernel, `(attribute, call)`; what it throws becomes TensorFlow's error.
template <void (*kernel)(bool, const Call&)>
void run_kernel(void* value, TF_OpKernelContext* context) {
  try {
    kernel(*static_cast<unsigned char*>(value) != 0, Call(context));
  } catch (const std::exception& error) {
    const Status status = new_status();
    TF_SetStatus(status.get(), TF_INTERNAL, error.what());
    TF_OpKernelContext_Failure(context, status.get());
  }
}

// Registers an op and its kernel for CPUs. `T` is the type of the matrices it multiplies.
template <const char* attribute, void (*kernel)(bool, const Call&)>
bool register_op(const OpDefinition& op) {
  TF_OpDefinitionBuilder* definition = TF_NewOpDefinitionBuilder(op.name);
  TF_OpDefinitionBuilderAddAttr(definition, "T: {float, bfloat16}");
  TF_OpDefinitionBuilderAddAttr(definition, (std::string(attribute) + ": bool").c_str());
  for (const char* spec : op.inputs) TF_OpDefinitionBuilderAddInput(definition, spec);
  for (const char* spec : op.outputs) TF_OpDefinitionBuilderAddOutput(definition, spec);
  TF_OpDefinitionBuilderSetShapeInferenceFunction(definition, unknown_shapes);
  const Status status = new_status();
  TF_RegisterOpDefinition(definition, status.get());
  check(status);
  TF_KernelBuilder* builder = TF_NewKernelBuilder(op.name, "CPU", create_kernel<attribute>,
                                                  run_kernel<kernel>, delete_kernel);
  TF_RegisterKernelBuilder(op.name, builder, status.get());
  check(status);
  return true;
}

}  // namespace seq2seq
