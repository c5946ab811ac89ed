// The arithmetic of layer_math.h as ops of TensorFlow, registered when the binding is loaded. All on the CPU in fp32.

#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "layer_math.h"
#include "parallel.h"
#include "tensorflow/c/kernels.h"
#include "tensorflow/c/ops.h"
#include "tensorflow/c/tf_datatype.h"
#include "tensorflow/c/tf_status.h"
#include "tensorflow/c/tf_tensor.h"

namespace errata {
namespace {

// One run of a kernel: its inputs and outputs, freed with it.
class Run {
 public:
  explicit Run(TF_OpKernelContext* context) : context_(context), status_(TF_NewStatus()) {}
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;
  ~Run() {
    for (TF_Tensor* tensor : tensors_) TF_DeleteTensor(tensor);
    TF_DeleteStatus(status_);
  }

  const TF_Tensor* Input(int index) {
    TF_Tensor* tensor = nullptr;
    TF_GetInput(context_, index, &tensor, status_);
    if (tensor == nullptr) return nullptr;
    tensors_.push_back(tensor);
    return tensor;
  }

  float* Output(int index, const std::vector<int64_t>& shape) {
    size_t bytes = sizeof(float);
    for (int64_t length : shape) bytes *= static_cast<size_t>(length);
    TF_Tensor* tensor = TF_AllocateOutput(context_, index, TF_FLOAT, shape.data(), static_cast<int>(shape.size()), bytes,
                                          status_);
    if (tensor == nullptr) return nullptr;
    tensors_.push_back(tensor);
    return static_cast<float*>(TF_TensorData(tensor));
  }

  // Fails the op unless `holds`.
  bool Check(bool holds, const char* what) {
    if (TF_GetCode(status_) == TF_OK) {
      if (holds) return true;
      TF_SetStatus(status_, TF_INVALID_ARGUMENT, what);
    }
    TF_OpKernelContext_Failure(context_, status_);
    return false;
  }

 private:
  TF_OpKernelContext* context_;
  TF_Status* status_;
  std::vector<TF_Tensor*> tensors_;
};

template <typename T = float>
const T* Data(const TF_Tensor* tensor) {
  return static_cast<const T*>(TF_TensorData(tensor));
}

int64_t Size(const TF_Tensor* tensor) { return TF_TensorElementCount(tensor); }

int64_t LastLength(const TF_Tensor* tensor) {
  const int rank = TF_NumDims(tensor);
  return rank == 0 ? 1 : TF_Dim(tensor, rank - 1);
}

std::vector<int64_t> Shape(const TF_Tensor* tensor) {
  std::vector<int64_t> shape(TF_NumDims(tensor));
  for (size_t i = 0; i < shape.size(); i++) shape[i] = TF_Dim(tensor, static_cast<int>(i));
  return shape;
}

void ComputeRmsNorm(void*, TF_OpKernelContext* context) {
  Run run(context);
  const TF_Tensor* x = run.Input(0);
  const TF_Tensor* epsilon = run.Input(1);
  if (!run.Check(x != nullptr && epsilon != nullptr && Size(epsilon) == 1, "takes x and a scalar")) return;
  const int64_t width = LastLength(x), rows = width == 0 ? 0 : Size(x) / width;
  std::vector<int64_t> shape = Shape(x);
  float* y = run.Output(0, shape);
  if (!shape.empty()) shape.back() = 1;
  float* r = run.Output(1, shape);
  if (!run.Check(y != nullptr && r != nullptr, "has no memory")) return;
  ParallelFor(rows, width / 2, [&](int64_t begin, int64_t end) {
    RmsNormRows(Data(x), *Data(epsilon), width, begin, end, y, r);
  });
}

void ComputeRmsNormGrad(void*, TF_OpKernelContext* context) {
  Run run(context);
  const TF_Tensor* dy = run.Input(0);
  const TF_Tensor* y = run.Input(1);
  const TF_Tensor* r = run.Input(2);
  const TF_Tensor* residual = run.Input(3);
  if (!run.Check(dy && y && r && residual, "takes four inputs")) return;
  const int64_t width = LastLength(y), rows = width == 0 ? 0 : Size(y) / width;
  const bool added = Size(residual) > 0;
  if (!run.Check(Size(dy) == Size(y) && Size(r) == rows && (!added || Size(residual) == Size(y)), "takes equal shapes"))
    return;
  float* dx = run.Output(0, Shape(y));
  if (!run.Check(dx != nullptr, "has no memory")) return;
  ParallelFor(rows, width, [&](int64_t begin, int64_t end) {
    RmsNormGradRows(Data(dy), Data(y), Data(r), added ? Data(residual) : nullptr, width, begin, end, dx);
  });
}

// Elements a part: enough to vectorise, few enough to spread.
constexpr int64_t kElements = 1024;

void ComputeSwiGlu(void*, TF_OpKernelContext* context) {
  Run run(context);
  const TF_Tensor* gate = run.Input(0);
  const TF_Tensor* up = run.Input(1);
  if (!run.Check(gate && up && Size(gate) == Size(up), "takes equal shapes")) return;
  float* out = run.Output(0, Shape(up));
  if (!run.Check(out != nullptr, "has no memory")) return;
  const int64_t size = Size(up);
  ParallelFor((size + kElements - 1) / kElements, kElements, [&](int64_t begin, int64_t end) {
    SwiGlu(Data(gate), Data(up), begin * kElements, std::min(end * kElements, size), out);
  });
}

void ComputeSwiGluGrad(void*, TF_OpKernelContext* context) {
  Run run(context);
  const TF_Tensor* gradient = run.Input(0);
  const TF_Tensor* gate = run.Input(1);
  const TF_Tensor* up = run.Input(2);
  if (!run.Check(gradient && gate && up && Size(gradient) == Size(up) && Size(gate) == Size(up), "takes equal shapes"))
    return;
  float* to_gate = run.Output(0, Shape(up));
  float* to_up = run.Output(1, Shape(up));
  if (!run.Check(to_gate && to_up, "has no memory")) return;
  const int64_t size = Size(up);
  ParallelFor((size + kElements - 1) / kElements, 2 * kElements, [&](int64_t begin, int64_t end) {
    SwiGluGrad(Data(gradient), Data(gate), Data(up), begin * kElements, std::min(end * kElements, size), to_gate, to_up);
  });
}

struct AttentionAttributes {
  int64_t heads, groups, width;
  float cap;
};

void* CreateAttention(TF_OpKernelConstruction* construction) {
  auto* attributes = new AttentionAttributes();
  TF_Status* status = TF_NewStatus();
  const auto read = [&](const char* name, int64_t* value) {
    if (TF_GetCode(status) == TF_OK) TF_OpKernelConstruction_GetAttrInt64(construction, name, value, status);
  };
  read("heads", &attributes->heads);
  read("groups", &attributes->groups);
  read("width", &attributes->width);
  if (TF_GetCode(status) == TF_OK) TF_OpKernelConstruction_GetAttrFloat(construction, "cap", &attributes->cap, status);
  if (TF_GetCode(status) != TF_OK) TF_OpKernelConstruction_Failure(construction, status);
  TF_DeleteStatus(status);
  return attributes;
}

void DeleteAttention(void* kernel) { delete static_cast<AttentionAttributes*>(kernel); }

// Reads spans, past keys and values, mask, cosines and sines from the inputs from `first` on; false where they do not fit
// [tokens, slots · size] `slots`.
bool ReadAttention(Run& run, const AttentionAttributes& attributes, const TF_Tensor* slots, int first, Attention* a) {
  std::array<const TF_Tensor*, 6> inputs;
  for (int i = 0; i < 6; i++) inputs[i] = run.Input(first + i);
  for (const TF_Tensor* input : inputs)
    if (!run.Check(input != nullptr, "lacks an input")) return false;
  const auto [spans, past_keys, past_values, mask, cosines, sines] = inputs;
  a->heads = attributes.heads;
  a->groups = attributes.groups;
  a->width = attributes.width;
  a->cap = attributes.cap;
  const bool shaped = a->groups > 0 && a->heads % a->groups == 0 && TF_NumDims(slots) == 2 && TF_NumDims(spans) == 2 &&
                      TF_Dim(spans, 1) == 2 && TF_Dim(slots, 1) % a->slots() == 0 && a->width > 0;
  if (!run.Check(shaped, "takes tokens by slots and spans by two")) return false;
  a->tokens = TF_Dim(slots, 0);
  a->size = TF_Dim(slots, 1) / a->slots();
  a->rows = TF_Dim(spans, 0);
  const int64_t row = a->rows * a->groups * a->size;
  a->past = row == 0 ? 0 : Size(past_keys) / row;
  const int64_t share = a->heads / a->groups * a->width * a->columns();
  a->mask_rows = share == 0 ? 0 : Size(mask) / share;
  const int64_t rotated = a->tokens * a->slots() * a->size;
  const bool fits = Size(past_keys) == a->past * row && Size(past_values) == Size(past_keys) &&
                    Size(mask) == a->mask_rows * share && (a->mask_rows == 1 || a->mask_rows == a->rows) &&
                    (Size(cosines) == 0 || Size(cosines) == rotated) && Size(sines) == Size(cosines);
  if (!run.Check(fits, "takes past columns, a mask and rotary factors of the same layout")) return false;
  a->spans = Data<int32_t>(spans);
  for (int64_t r = 0; r < a->rows; r++) {
    const int64_t begin = a->spans[2 * r], count = a->spans[2 * r + 1];
    if (!run.Check(begin >= 0 && count >= 0 && count <= a->width && begin + count <= a->tokens, "has a span outside"))
      return false;
  }
  a->past_keys = Data(past_keys);
  a->past_values = Data(past_values);
  a->mask = Data(mask);
  a->cosines = Size(cosines) == 0 ? nullptr : Data(cosines);
  a->sines = Data(sines);
  return true;
}

// Nanoseconds a (row, group) pair, `passes` over its queries and columns, at some ten operations a nanosecond.
int64_t PairCost(const Attention& a, int64_t passes) {
  return passes * a.heads / a.groups * a.width * (a.past + a.width / 2 + 1) * a.size / 5;
}

void ComputeAttention(void* kernel, TF_OpKernelContext* context) {
  Run run(context);
  const TF_Tensor* projected = run.Input(0);
  Attention a{};
  if (!run.Check(projected != nullptr, "lacks an input")) return;
  if (!ReadAttention(run, *static_cast<AttentionAttributes*>(kernel), projected, 1, &a)) return;
  float* mixed = run.Output(0, {a.tokens, a.heads * a.size});
  float* rotated = run.Output(1, Shape(projected));
  float* shares = run.Output(2, {a.tokens, a.heads, a.columns()});
  if (!run.Check(mixed && rotated && shares, "has no memory")) return;
  std::memset(shares, 0, sizeof(float) * a.tokens * a.heads * a.columns());
  ParallelFor(a.rows * a.groups, PairCost(a, 2), [&](int64_t begin, int64_t end) {
    AttendPairs(a, Data(projected), begin, end, rotated, shares, mixed);
  });
}

void ComputeAttentionGrad(void* kernel, TF_OpKernelContext* context) {
  Run run(context);
  const TF_Tensor* gradient = run.Input(0);
  const TF_Tensor* rotated = run.Input(1);
  const TF_Tensor* shares = run.Input(2);
  Attention a{};
  if (!run.Check(gradient && rotated && shares, "lacks an input")) return;
  if (!ReadAttention(run, *static_cast<AttentionAttributes*>(kernel), rotated, 3, &a)) return;
  const bool fits = Size(gradient) == a.tokens * a.heads * a.size && Size(shares) == a.tokens * a.heads * a.columns();
  if (!run.Check(fits, "takes what the forward pass gave")) return;
  float* to_projected = run.Output(0, Shape(rotated));
  if (!run.Check(to_projected != nullptr, "has no memory")) return;
  ParallelFor(a.rows * a.groups, PairCost(a, 5), [&](int64_t begin, int64_t end) {
    AttendGradPairs(a, Data(gradient), Data(rotated), Data(shares), begin, end, to_projected);
  });
}

struct Op {
  const char* name;
  std::vector<const char*> inputs, outputs, attributes;
  void* (*create)(TF_OpKernelConstruction*);
  void (*compute)(void*, TF_OpKernelContext*);
  void (*remove)(void*);
};

void UnknownShapes(TF_ShapeInferenceContext* context, TF_Status* status) {
  TF_ShapeInferenceContextSetUnknownShape(context, status);
}

void Register(const Op& op, TF_Status* status) {
  TF_OpDefinitionBuilder* definition = TF_NewOpDefinitionBuilder(op.name);
  for (const char* input : op.inputs) TF_OpDefinitionBuilderAddInput(definition, input);
  for (const char* output : op.outputs) TF_OpDefinitionBuilderAddOutput(definition, output);
  for (const char* attribute : op.attributes) TF_OpDefinitionBuilderAddAttr(definition, attribute);
  TF_OpDefinitionBuilderSetShapeInferenceFunction(definition, UnknownShapes);
  TF_RegisterOpDefinition(definition, status);
  if (TF_GetCode(status) != TF_OK) return;
  TF_RegisterKernelBuilder(op.name, TF_NewKernelBuilder(op.name, "CPU", op.create, op.compute, op.remove), status);
}

const std::vector<const char*> kLayout = {"spans: int32", "past_keys: float", "past_values: float",
                                          "mask: float",  "cosines: float",   "sines: float"};
const std::vector<const char*> kAttention = {"heads: int", "groups: int", "width: int", "cap: float"};

std::vector<const char*> WithLayout(std::vector<const char*> inputs) {
  inputs.insert(inputs.end(), kLayout.begin(), kLayout.end());
  return inputs;
}

// Runs as the library is loaded. What fails here is found out when the op is first asked for.
const bool registered = [] {
  TF_Status* status = TF_NewStatus();
  const std::vector<Op> ops = {
      {"ErrataRmsNorm", {"x: float", "epsilon: float"}, {"y: float", "r: float"}, {}, nullptr, ComputeRmsNorm, nullptr},
      {"ErrataRmsNormGrad",
       {"dy: float", "y: float", "r: float", "residual: float"},
       {"dx: float"},
       {},
       nullptr,
       ComputeRmsNormGrad,
       nullptr},
      {"ErrataSwiGlu", {"gate: float", "up: float"}, {"out: float"}, {}, nullptr, ComputeSwiGlu, nullptr},
      {"ErrataSwiGluGrad",
       {"gradient: float", "gate: float", "up: float"},
       {"to_gate: float", "to_up: float"},
       {},
       nullptr,
       ComputeSwiGluGrad,
       nullptr},
      {"ErrataAttention",
       WithLayout({"projected: float"}),
       {"mixed: float", "rotated: float", "shares: float"},
       kAttention,
       CreateAttention,
       ComputeAttention,
       DeleteAttention},
      {"ErrataAttentionGrad",
       WithLayout({"gradient: float", "rotated: float", "shares: float"}),
       {"to_projected: float"},
       kAttention,
       CreateAttention,
       ComputeAttentionGrad,
       DeleteAttention},
  };
  bool all = true;
  for (const Op& op : ops) {
    Register(op, status);
    all = all && TF_GetCode(status) == TF_OK;
  }
  TF_DeleteStatus(status);
  return all;
}();

}  // namespace
}  // namespace errata
