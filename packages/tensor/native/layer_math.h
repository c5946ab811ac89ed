// The arithmetic of a decoder layer beside its products: root-mean-square norm, SwiGLU and attention over packed tokens,
// there and back. Row-major fp32 throughout.

#ifndef ERRATA_TENSOR_LAYER_MATH_H_
#define ERRATA_TENSOR_LAYER_MATH_H_

#include <cstdint>

namespace errata {

// y = x r with r = (mean x² + ε)^-½, for rows [begin, end) of [rows, width].
void RmsNormRows(const float* x, float epsilon, int64_t width, int64_t begin, int64_t end, float* y, float* r);

// dx = r (dy − y mean(y dy)), plus `residual` where it is not null.
void RmsNormGradRows(const float* dy, const float* y, const float* r, const float* residual, int64_t width, int64_t begin,
                     int64_t end, float* dx);

// gate σ(gate) up
void SwiGlu(const float* gate, const float* up, int64_t begin, int64_t end, float* out);

// Gradients of gate and up from that of SwiGlu.
void SwiGluGrad(const float* gradient, const float* gate, const float* up, int64_t begin, int64_t end, float* to_gate,
                float* to_up);

// Attention of packed tokens over their row's earlier columns and its tokens up to themselves. A token's slots are its
// queries (heads), keys and values (groups each), of `size` numbers. Columns are the past ones, then the row's new tokens.
struct Attention {
  int64_t tokens, rows, heads, groups, size, past, width;
  const int32_t* spans;       // [rows, 2]: first packed token, count
  const float* past_keys;     // [rows, groups, past, size]
  const float* past_values;
  const float* mask;          // [mask_rows, heads / groups · width, past + width]: 0 where a query sees a column
  int64_t mask_rows;          // rows, or 1 for all
  const float* cosines;       // rotary factors by slot, [tokens · slots, size]; null for none
  const float* sines;
  float cap;                  // scores s become cap · tanh(s / cap); 0 for none

  int64_t slots() const { return heads + 2 * groups; }
  int64_t columns() const { return past + width; }
};

// For (row, group) pairs [begin, end). `rotated` is filled from `projected`, both [tokens, slots · size]; `shares` is
// [tokens, heads, columns] and zero beforehand; `mixed` is [tokens, heads · size].
void AttendPairs(const Attention& a, const float* projected, int64_t begin, int64_t end, float* rotated, float* shares,
                 float* mixed);

// The gradient of `projected` from that of `mixed`.
void AttendGradPairs(const Attention& a, const float* gradient, const float* rotated, const float* shares, int64_t begin,
                     int64_t end, float* to_projected);

}  // namespace errata

#endif  // ERRATA_TENSOR_LAYER_MATH_H_
