#include "layer_math.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

// One binary for all processors of an architecture: the loader takes the widest of these that the processor has.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__linux__)
#define FOR_EACH_PROCESSOR __attribute__((target_clones("arch=skylake-avx512", "arch=haswell", "default")))
#else
#define FOR_EACH_PROCESSOR
#endif
#define INLINED __attribute__((always_inline))
#define INLINE static inline INLINED

namespace errata {
namespace {

// e^x to 2e-7, by Cody and Waite's reduction and a polynomial of degree 6; branch-free, so that loops of it vectorise.
INLINE float Exp(float x) {
  x = std::min(std::max(x, -87.0f), 88.0f);
  // Adding 1.5 · 2²³ rounds to a whole number, which then lies in the low bits.
  const float shifted = x * 1.44269504f + 12582912.0f;
  const float whole = shifted - 12582912.0f;
  const float rest = (x - whole * 0.693359375f) + whole * 2.12194440e-4f;
  float series = 1.9875691500e-4f;
  series = series * rest + 1.3981999507e-3f;
  series = series * rest + 8.3334519073e-3f;
  series = series * rest + 4.1665795894e-2f;
  series = series * rest + 1.6666665459e-1f;
  series = series * rest + 5.0000001201e-1f;
  series = series * rest * rest + rest + 1.0f;
  int32_t bits;
  std::memcpy(&bits, &shifted, sizeof bits);
  bits = (bits - 0x4B400000 + 127) << 23;
  float power;
  std::memcpy(&power, &bits, sizeof power);
  return series * power;
}

INLINE float Dot(const float* a, const float* b, int64_t n) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
  return sum;
}

INLINE void AddScaled(float factor, const float* x, int64_t n, float* y) {
#pragma omp simd
  for (int64_t i = 0; i < n; i++) y[i] += factor * x[i];
}

// x cos + (x with its halves swapped) sin.
INLINE void Rotate(const float* x, const float* cosines, const float* sines, int64_t size, float* y) {
  const int64_t half = size / 2;
#pragma omp simd
  for (int64_t i = 0; i < half; i++) {
    const float first = x[i], second = x[i + half];
    y[i] = first * cosines[i] + second * sines[i];
    y[i + half] = second * cosines[i + half] + first * sines[i + half];
  }
}

// The transpose of Rotate, in place.
INLINE void RotateBack(const float* cosines, const float* sines, int64_t size, float* y) {
  const int64_t half = size / 2;
#pragma omp simd
  for (int64_t i = 0; i < half; i++) {
    const float first = y[i], second = y[i + half];
    y[i] = first * cosines[i] + second * sines[i + half];
    y[i + half] = second * cosines[i + half] + first * sines[i];
  }
}

}  // namespace

FOR_EACH_PROCESSOR
void RmsNormRows(const float* x, float epsilon, int64_t width, int64_t begin, int64_t end, float* y, float* r) {
  for (int64_t row = begin; row < end; row++) {
    const float* from = x + row * width;
    const float scale = 1.0f / std::sqrt(Dot(from, from, width) / static_cast<float>(width) + epsilon);
    float* to = y + row * width;
#pragma omp simd
    for (int64_t i = 0; i < width; i++) to[i] = from[i] * scale;
    r[row] = scale;
  }
}

FOR_EACH_PROCESSOR
void RmsNormGradRows(const float* dy, const float* y, const float* r, const float* residual, int64_t width, int64_t begin,
                     int64_t end, float* dx) {
  for (int64_t row = begin; row < end; row++) {
    const int64_t at = row * width;
    const float along = Dot(dy + at, y + at, width) / static_cast<float>(width);
    const float scale = r[row];
    if (residual != nullptr) {
#pragma omp simd
      for (int64_t i = at; i < at + width; i++) dx[i] = residual[i] + scale * (dy[i] - y[i] * along);
    } else {
#pragma omp simd
      for (int64_t i = at; i < at + width; i++) dx[i] = scale * (dy[i] - y[i] * along);
    }
  }
}

FOR_EACH_PROCESSOR
void SwiGlu(const float* gate, const float* up, int64_t begin, int64_t end, float* out) {
#pragma omp simd
  for (int64_t i = begin; i < end; i++) out[i] = gate[i] * up[i] / (1.0f + Exp(-gate[i]));
}

FOR_EACH_PROCESSOR
void SwiGluGrad(const float* gradient, const float* gate, const float* up, int64_t begin, int64_t end, float* to_gate,
                float* to_up) {
#pragma omp simd
  for (int64_t i = begin; i < end; i++) {
    const float sigmoid = 1.0f / (1.0f + Exp(-gate[i]));
    const float value = gate[i] * sigmoid;
    to_up[i] = gradient[i] * value;
    to_gate[i] = gradient[i] * up[i] * (sigmoid + value * (1.0f - sigmoid));
  }
}

FOR_EACH_PROCESSOR
void AttendPairs(const Attention& a, const float* projected, int64_t begin, int64_t end, float* rotated, float* shares,
                 float* mixed) {
  const int64_t share = a.heads / a.groups, slots = a.slots(), columns = a.columns(), size = a.size;
  for (int64_t pair = begin; pair < end; pair++) {
    const int64_t row = pair / a.groups, group = pair % a.groups;
    const int64_t first = a.spans[2 * row], count = a.spans[2 * row + 1];
    const auto slot = [&](const float* base, int64_t token, int64_t at) INLINED { return base + (token * slots + at) * size; };
    const int64_t key = a.heads + group, value = a.heads + a.groups + group;
    for (int64_t token = first; token < first + count; token++) {
      const auto turn = [&](int64_t at) INLINED {
        const float* from = slot(projected, token, at);
        float* to = rotated + (token * slots + at) * size;
        if (a.cosines != nullptr)
          Rotate(from, slot(a.cosines, token, at), slot(a.sines, token, at), size, to);
        else
          std::memcpy(to, from, size * sizeof(float));
      };
      for (int64_t head = group * share; head < (group + 1) * share; head++) turn(head);
      turn(key);
      std::memcpy(rotated + (token * slots + value) * size, slot(projected, token, value), size * sizeof(float));
    }
    const float* past_keys = a.past_keys + (row * a.groups + group) * a.past * size;
    const float* past_values = a.past_values + (row * a.groups + group) * a.past * size;
    const auto key_of = [&](int64_t c) INLINED {
      return c < a.past ? past_keys + c * size : slot(rotated, first + c - a.past, key);
    };
    const auto value_of = [&](int64_t c) INLINED {
      return c < a.past ? past_values + c * size : slot(rotated, first + c - a.past, value);
    };
    for (int64_t i = 0; i < count; i++) {
      const float* mask = a.mask + ((a.mask_rows == 1 ? 0 : row) * share * a.width + i) * columns;
      for (int64_t head = group * share; head < (group + 1) * share; head++) {
        const float* query = slot(rotated, first + i, head);
        float* p = shares + ((first + i) * a.heads + head) * columns;
        const int64_t visible = a.past + i + 1;
        float top = -1e30f;
        for (int64_t c = 0; c < visible; c++) {
          if (mask[c] != 0.0f) continue;
          float score = Dot(query, key_of(c), size);
          if (a.cap > 0) score = a.cap * std::tanh(score / a.cap);
          p[c] = score;
          top = std::max(top, score);
        }
        float total = 0;
        for (int64_t c = 0; c < visible; c++)
          if (mask[c] == 0.0f) total += p[c] = Exp(p[c] - top);
        float* out = mixed + ((first + i) * a.heads + head) * size;
        std::memset(out, 0, size * sizeof(float));
        for (int64_t c = 0; c < visible; c++) {
          if (mask[c] != 0.0f) continue;
          p[c] /= total;
          AddScaled(p[c], value_of(c), size, out);
        }
      }
    }
  }
}

FOR_EACH_PROCESSOR
void AttendGradPairs(const Attention& a, const float* gradient, const float* rotated, const float* shares, int64_t begin,
                     int64_t end, float* to_projected) {
  const int64_t share = a.heads / a.groups, slots = a.slots(), columns = a.columns(), size = a.size;
  std::vector<float> to_shares(columns);
  for (int64_t pair = begin; pair < end; pair++) {
    const int64_t row = pair / a.groups, group = pair % a.groups;
    const int64_t first = a.spans[2 * row], count = a.spans[2 * row + 1];
    const auto slot = [&](const float* base, int64_t token, int64_t at) INLINED { return base + (token * slots + at) * size; };
    const auto to = [&](int64_t token, int64_t at) INLINED { return to_projected + (token * slots + at) * size; };
    const int64_t key = a.heads + group, value = a.heads + a.groups + group;
    const float* past_keys = a.past_keys + (row * a.groups + group) * a.past * size;
    const float* past_values = a.past_values + (row * a.groups + group) * a.past * size;
    for (int64_t token = first; token < first + count; token++) {
      std::memset(to(token, key), 0, size * sizeof(float));
      std::memset(to(token, value), 0, size * sizeof(float));
    }
    for (int64_t i = 0; i < count; i++) {
      for (int64_t head = group * share; head < (group + 1) * share; head++) {
        const float* from = gradient + ((first + i) * a.heads + head) * size;
        const float* p = shares + ((first + i) * a.heads + head) * columns;
        const float* query = slot(rotated, first + i, head);
        float* to_query = to(first + i, head);
        std::memset(to_query, 0, size * sizeof(float));
        const int64_t visible = a.past + i + 1;
        float along = 0;
        for (int64_t c = 0; c < visible; c++) {
          if (p[c] == 0.0f) continue;
          const float* v = c < a.past ? past_values + c * size : slot(rotated, first + c - a.past, value);
          to_shares[c] = Dot(from, v, size);
          along += p[c] * to_shares[c];
        }
        for (int64_t c = 0; c < visible; c++) {
          if (p[c] == 0.0f) continue;
          const float* k = c < a.past ? past_keys + c * size : slot(rotated, first + c - a.past, key);
          float to_score = p[c] * (to_shares[c] - along);
          if (a.cap > 0) {
            const float bent = std::tanh(Dot(query, k, size) / a.cap);
            to_score *= 1.0f - bent * bent;
          }
          AddScaled(to_score, k, size, to_query);
          if (c < a.past) continue;
          const int64_t token = first + c - a.past;
          AddScaled(to_score, query, size, to(token, key));
          AddScaled(p[c], from, size, to(token, value));
        }
      }
    }
    if (a.cosines == nullptr) continue;
    for (int64_t token = first; token < first + count; token++) {
      for (int64_t head = group * share; head < (group + 1) * share; head++)
        RotateBack(slot(a.cosines, token, head), slot(a.sines, token, head), size, to(token, head));
      RotateBack(slot(a.cosines, token, key), slot(a.sines, token, key), size, to(token, key));
    }
  }
}

}  // namespace errata
