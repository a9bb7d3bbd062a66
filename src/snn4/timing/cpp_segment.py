"""The C++ of one event-free segment: how far the state falls, and who reaches the threshold."""

from __future__ import annotations

__all__ = ["SEGMENT"]

# With a = 1/tau_v and b = 1/tau_i every case of the neuron is the same formula: e(h) = (exp(-bh) - exp(-ah)) / (a - b)
# is written with the slower of the two exponentials in front, h exp(-slow h) phi(|a - b| h), where
# phi(z) = (1 - exp(-z)) / z is a polynomial near 0: equal constants, infinite ones and short segments lose no digits.
SEGMENT = r"""
constexpr double factorial(int n) { return n < 2 ? 1.0 : n * factorial(n - 1); }
// phi_M(z) = sum over j of (-z)^j / (j + M)!, for 0 <= z <= 1/2
template <int M, class R, int J = 0> static inline R phi(R z) {
  constexpr R c = (R)(1.0 / factorial(J + M));
  if constexpr (J == (sizeof(R) == 4 ? 8 : 15)) return c;
  else return f_fma(phi<M, R, J + 1>(z), -z, c);
}
// after a time h: V = dv V + e I, I = di I
template <class R> static inline void fall(R h, R a, R b, R& dv, R& di, R& e) {
  dv = f_exp(-a * h); di = f_exp(-b * h);
  R slow = dv > di ? dv : di, fast = dv > di ? di : dv, d = a > b ? a - b : b - a, z = d * h;
  R small = h * slow * phi<1>(z < R(0.5) ? z : R(0.5));
  R large = (slow - fast) / (d > R(0) ? d : R(1));
  e = z < R(0.5) ? small : large;
}
// neurons side by side in a vector register; rows are padded to a multiple of it
template <class R> constexpr i64 lanes() { return 64 / (i64)sizeof(R); }
// bit i: a[i] >= x. NaN is never.
static inline uint32_t reach(const float* a, float x) {
#if defined(__AVX512F__)
  return _mm512_cmp_ps_mask(_mm512_loadu_ps(a), _mm512_set1_ps(x), _CMP_GE_OQ);
#elif defined(__AVX2__)
  __m256 v = _mm256_set1_ps(x);
  return (uint32_t)_mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(a), v, _CMP_GE_OQ)) |
         (uint32_t)_mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(a + 8), v, _CMP_GE_OQ)) << 8;
#else
  uint32_t m = 0; for (int i = 0; i < 16; i++) m |= (uint32_t)(a[i] >= x) << i; return m;
#endif
}
static inline uint32_t reach(const double* a, double x) {
#if defined(__AVX512F__)
  return _mm512_cmp_pd_mask(_mm512_loadu_pd(a), _mm512_set1_pd(x), _CMP_GE_OQ);
#else
  uint32_t m = 0; for (int i = 0; i < 8; i++) m |= (uint32_t)(a[i] >= x) << i; return m;
#endif
}
static inline float f_log(float x) {
  int32_t bits; std::memcpy(&bits, &x, 4);
  const int32_t n = (bits - 0x3f3504f3) >> 23; bits -= n << 23; std::memcpy(&x, &bits, 4);
  const float f = (x - 1) / (x + 1), g = f * f;
  float p = 1.f / 9; p = f_fma(p, g, 1.f / 7); p = f_fma(p, g, 1.f / 5); p = f_fma(p, g, 1.f / 3);
  return f_fma((float)n, 0.69314718056f, 2 * f_fma(p * g, f, f));
}
static inline double f_log(double x) {
  int64_t bits; std::memcpy(&bits, &x, 8);
  const int64_t n = (bits - 0x3fe6a09e667f3bcdLL) >> 52; bits -= n << 52; std::memcpy(&x, &bits, 8);
  const double f = (x - 1) / (x + 1), g = f * f;
  double p = 1. / 23;
  p = f_fma(p, g, 1. / 21); p = f_fma(p, g, 1. / 19); p = f_fma(p, g, 1. / 17); p = f_fma(p, g, 1. / 15);
  p = f_fma(p, g, 1. / 13); p = f_fma(p, g, 1. / 11); p = f_fma(p, g, 1. / 9); p = f_fma(p, g, 1. / 7);
  p = f_fma(p, g, 1. / 5); p = f_fma(p, g, 1. / 3);
  const double near = 2 * f_fma(p * g, f, f), far = (double)(int32_t)n;
  return f_fma(far, 6.93147180369123816490e-01, f_fma(far, 1.90821492927058770002e-10, near));
}
// where V has its maximum, if V' = c - a v > 0 now and V' < 0 later on: log(1 + d m) / d, without cancelling at d = 0
template <class R> static inline R summit(R v, R c, R a, R b) {
  const R d = b - a, m = (c - a * v) / (a * (d * v + c)), u = R(1) + d * m;
  return m * (u == R(1) ? R(1) : f_log(u) / (u == R(1) ? R(1) : u - R(1)));
}
// exp(-a.) * exp(-a.) * exp(-b.) at h: minus the derivative of e by a
template <class R> static inline R twice(R h, R a, R b, R dv, R di, R e) {
  const R slow = dv > di ? dv : di, d = a > b ? a - b : b - a, z = d * h, near = z < R(0.5) ? z : R(0.5);
  const R second = phi<2>(near), small = h * h * slow * (a > b ? phi<1>(near) - second : second);
  const R large = (h * dv - e) / (d > R(0) ? b - a : R(1));
  return z < R(0.5) ? small : large;
}
// events of a row before the end of the window
template <class R> static inline i64 inside(const R* t, i64 n, R window) {
  return std::lower_bound(t, t + n, window) - t;
}
// how many of n ascending times come before x; no branch, because there is nothing to predict
template <class R> static inline i64 before(const R* t, i64 n, R x) {
  const R* base = t;
  for (i64 half; n > 1; n -= half) { half = n / 2; base += half * (i64)(base[half - 1] < x); }
  return base - t + (n == 1 && *base < x);
}
template <class R> static inline R* room_for(i64 n) {
  return (R*)std::aligned_alloc(64, ((size_t)n * sizeof(R) + 127) / 64 * 64);
}
"""
