"""The C++ that every generated kernel begins with: rounding, transcendental functions, streaming stores."""

from __future__ import annotations

__all__ = ["PRELUDE"]

# The functions are branch-free so that loops over them vectorise without a vector library. exp: 1 ulp or so, with the
# right limits (infinity, denormals, NaN). What is rare goes to the C library, element by element.
PRELUDE = r"""
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif
typedef int64_t i64;

static inline float f_fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
static inline double f_fma(double a, double b, double c) { return __builtin_fma(a, b, c); }
static inline double two_to(double n) {
  int64_t e = ((int64_t)n + 1023) << 52; double s; std::memcpy(&s, &e, 8); return s; }

static inline float f_exp(float x) {
  x = x > 89.f ? 89.f : (x < -104.f ? -104.f : x);
  // the sum has no bits behind the point: n stands in its lowest ones
  const float t = f_fma(x, 1.44269504088896341f, 12582912.f), n = t - 12582912.f;
  float r = f_fma(n, -0.693359375f, x);
  r = f_fma(n, 2.12194440e-4f, r);
  // minimax of the relative error on |r| <= ln 2 / 2, 3e-9
  float p = 1.3814541360e-3f;
  p = f_fma(p, r, 8.3687451707e-3f); p = f_fma(p, r, 4.1668390765e-2f); p = f_fma(p, r, 1.6666520398e-1f);
  p = f_fma(p, r, 4.9999993432e-1f); p = f_fma(p, r, 1.0f); p = f_fma(p, r, 1.0f);
  // times 2^n, in two factors: 2^128 and denormal numbers have no exponent of their own
  const bool low = x < 0.f;
  uint32_t bits;
  std::memcpy(&bits, &t, 4);
  bits = (bits << 23) + (low ? (127u + 24u) << 23 : (127u - 1u) << 23);
  float most;
  std::memcpy(&most, &bits, 4);
  return p * most * (low ? 0x1p-24f : 2.f);
}
static inline double f_exp(double x) {
  x = x > 710. ? 710. : (x < -746. ? -746. : x);
  double n = __builtin_floor(x * 1.4426950408889634074 + 0.5);
  double r = f_fma(n, -6.93147180369123816490e-01, x);
  r = f_fma(n, -1.90821492927058770002e-10, r);
  double p = 1. / 6227020800.;
  p = f_fma(p, r, 1. / 479001600.); p = f_fma(p, r, 1. / 39916800.); p = f_fma(p, r, 1. / 3628800.);
  p = f_fma(p, r, 1. / 362880.); p = f_fma(p, r, 1. / 40320.); p = f_fma(p, r, 1. / 5040.);
  p = f_fma(p, r, 1. / 720.); p = f_fma(p, r, 1. / 120.); p = f_fma(p, r, 1. / 24.);
  p = f_fma(p, r, 1. / 6.); p = f_fma(p, r, 0.5);
  p = f_fma(p, r * r, r) + 1.0;
  double half = __builtin_floor(n * 0.5);
  return p * two_to(half) * two_to(n - half);
}
template <class R> static inline R f_sigmoid(R x) { return R(1) / (R(1) + f_exp(-x)); }
static inline float f_tanh(float x) {
  float z = x * x, a = __builtin_fabsf(x);
  float p = -5.70498872745e-3f;
  p = f_fma(p, z, 2.06390887954e-2f); p = f_fma(p, z, -5.37397155531e-2f); p = f_fma(p, z, 1.33314422036e-1f);
  p = f_fma(p, z, -3.33332819422e-1f);
  float small = f_fma(p * z, x, x);
  float big = 1.0f - 2.0f / (f_exp(2.0f * a) + 1.0f);
  return a < 0.625f ? small : (x < 0 ? -big : big);
}
static inline double f_tanh(double x) {
  double z = x * x, a = __builtin_fabs(x);
  double p = f_fma(f_fma(-9.64399179425052238628e-1, z, -9.92877231001918586564e1), z, -1.61468768441708447952e3);
  double q = f_fma(f_fma(z + 1.12811678491632931402e2, z, 2.23548839060100448583e3), z, 4.84406305325125486048e3);
  double small = f_fma(x * z, p / q, x);
  double big = 1.0 - 2.0 / (f_exp(2.0 * a) + 1.0);
  return a < 0.625 ? small : (x < 0 ? -big : big);
}

// Numbers that travel in 16 bits: exact on the way in, rounded on the way out, to the nearest, ties to even.
typedef uint16_t bf16;
static inline float wide(bf16 h) { const uint32_t u = (uint32_t)h << 16; float f; std::memcpy(&f, &u, 4); return f; }
static inline float wide(float v) { return v; }
static inline double wide(double v) { return v; }
template <class R> struct Narrow { template <class V> static inline R of(V v) { return v; } };
template <> struct Narrow<bf16> {
  static inline bf16 of(float v) {
    uint32_t u;
    std::memcpy(&u, &v, 4);
    // what is added could carry a NaN over to infinity or to zero
    const uint32_t rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16, nan = (u >> 16) | 0x40u;
    return (bf16)((u & 0x7fffffffu) > 0x7f800000u ? nan : rounded);
  }
};

// streaming stores spare the read of what is about to be overwritten; one cache line
template <class R> static inline void stream_block(R* d, const R* s) {
#if defined(__AVX512F__)
  _mm512_stream_si512((__m512i*)d, _mm512_load_si512((const void*)s));
#elif defined(__AVX2__)
  _mm256_stream_si256((__m256i*)d, _mm256_load_si256((const __m256i*)s));
  _mm256_stream_si256((__m256i*)d + 1, _mm256_load_si256((const __m256i*)s + 1));
#else
  std::memcpy(d, s, 64);
#endif
}
template <int LANES, class R> static inline void stream_lanes(R* d, const R* s) {
  for (int i = 0; i < LANES; i += 64 / (int)sizeof(R)) stream_block(d + i, s + i);
}
static inline bool aligned(const void* d) { return ((uintptr_t)d & 63) == 0; }
// ask for a row that is read some steps later: rows lie too far apart for the hardware to guess
template <class R> static inline void ahead(const R* row, i64 len) {
  for (i64 i = 0; i < len; i += 64 / (i64)sizeof(R)) __builtin_prefetch(row + i);
}
// copy a tile's row out
template <class R> static inline void leave(R* d, const R* s, i64 bytes, bool fast) {
  const i64 line = 64 / (i64)sizeof(R), n = bytes / (i64)sizeof(R);
  if (fast && aligned(d)) for (i64 i = 0; i < n; i += line) stream_block(d + i, s + i);
  else std::memcpy(d, s, (size_t)bytes);
}
static inline void fence() {
#if defined(__AVX512F__) || defined(__AVX2__)
  _mm_sfence();
#endif
}
// a state field before the first step: one value per element (step 1) or one for all (step 0)
template <class R> static inline void start(R* d, const R* s, i64 step, i64 n0, i64 len) {
  if (step) std::memcpy(d, s + n0, sizeof(R) * (size_t)len);
  else for (i64 i = 0; i < len; i++) d[i] = s[0];
}
"""
