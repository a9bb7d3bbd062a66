"""The C++ that sums the answers to a neuron's spikes at one moment, and that looks whether times are times."""

from __future__ import annotations

__all__ = ["ANSWER"]

ANSWER = r"""
// the spikes before `at` of some rows, gathered into full vectors: f(how many, time since each, row and place)
static const i64 WALK = 64;
template <class R, class F> static inline void walk(const R* times, i64 rows, i64 K, R at, const F& f) {
  alignas(64) R s[WALK]; int32_t row[WALK], from[WALK];
  i64 m = 0;
  for (i64 i = 0; i < rows; i++) for (i64 k = i * K; k < (i + 1) * K && times[k] < at; k++) {
    s[m] = at - times[k]; row[m] = (int32_t)i; from[m++] = (int32_t)k;
    if (m == WALK) { f(m, s, row, from); m = 0; }
  }
  if (!m) return;
  for (i64 j = m; j < WALK; j++) s[j] = 0;
  f(m, s, row, from);
}
// per neuron: the summed answers e(at - t) to its spikes. sizes: pairs K threads; constants a b at; times; out
template <class R> static int answer(const i64* p) {
  const i64 pairs = p[0], K = p[1], threads = p[2];
  const double* const c = (const double*)p[3];
  const R a = (R)c[0], b = (R)c[1], at = (R)c[2], *const times = (const R*)p[4];
  R* const out = (R*)p[5];
  const i64 chunk = 1024, chunks = (pairs + chunk - 1) / chunk;
  #pragma omp parallel for schedule(static) num_threads((int)threads) if(threads > 1)
  for (i64 u = 0; u < chunks; u++) {
    const i64 n0 = u * chunk, len = std::min<i64>(chunk, pairs - n0);
    std::fill(out + n0, out + n0 + len, R(0));
    walk(times + n0 * K, len, K, at, [&](i64 m, const R* s, const int32_t* row, const int32_t*) {
      alignas(64) R e[WALK];
      #pragma omp simd
      for (i64 j = 0; j < WALK; j++) { R dv, di; fall(s[j], a, b, dv, di, e[j]); }
      for (i64 j = 0; j < m; j++) out[n0 + row[j]] += e[j];
    });
  }
  return 0;
}
// its adjoint. sizes: pairs K threads; constants a b at; times; grad (per pair); gradient of times; sums for a and b
template <class R> static int answer_back(const i64* p) {
  const i64 pairs = p[0], K = p[1], threads = p[2];
  const double* const c = (const double*)p[3];
  const R a = (R)c[0], b = (R)c[1], at = (R)c[2], *const times = (const R*)p[4], *const grad = (const R*)p[5];
  R* const out = (R*)p[6]; double* const sums = (double*)p[7];
  const i64 chunk = 1024, chunks = (pairs + chunk - 1) / chunk;
  #pragma omp parallel for schedule(static) num_threads((int)threads) if(threads > 1)
  for (i64 u = 0; u < chunks; u++) {
    const i64 n0 = u * chunk, len = std::min<i64>(chunk, pairs - n0);
    std::memset(out + n0 * K, 0, sizeof(R) * (size_t)(len * K));
    double by_a = 0, by_b = 0;
    walk(times + n0 * K, len, K, at, [&](i64 m, const R* s, const int32_t* row, const int32_t* from) {
      alignas(64) R slope[WALK], to_a[WALK], to_b[WALK];
      #pragma omp simd
      for (i64 j = 0; j < WALK; j++) {
        R dv, di, e;
        fall(s[j], a, b, dv, di, e);
        slope[j] = a * e - di; to_a[j] = twice(s[j], a, b, dv, di, e); to_b[j] = twice(s[j], b, a, di, dv, e);
      }
      for (i64 j = 0; j < m; j++) {
        const R g = grad[n0 + row[j]];
        out[n0 * K + from[j]] = g * slope[j];
        by_a -= (double)(g * to_a[j]); by_b -= (double)(g * to_b[j]);
      }
    });
    sums[2 * u] = by_a; sums[2 * u + 1] = by_b;
  }
  return 0;
}
// 0 where all times are >= 0 and every row ascends; NaN fails both. sizes: pairs K threads; times; out
template <class R> static int ordered(const i64* p) {
  const i64 pairs = p[0], K = p[1], threads = p[2];
  const R* const times = (const R*)p[3];
  i64 bad = 0;
  #pragma omp parallel for schedule(static) num_threads((int)threads) if(threads > 1) reduction(| : bad)
  for (i64 u = 0; u < (pairs + 1023) / 1024; u++) {
    const R* const row = times + u * 1024 * K;
    const i64 n = std::min<i64>(1024, pairs - u * 1024) * K;
    i64 low = 0, falls = 0;
    #pragma omp simd reduction(+ : low)
    for (i64 i = 0; i < n; i++) low += !(row[i] >= R(0));
    // each time against the one before; where a row begins, that says nothing
    #pragma omp simd reduction(+ : falls)
    for (i64 i = 1; i < n; i++) falls += row[i] < row[i - 1];
    for (i64 i = K; i < n; i += K) falls -= row[i] < row[i - 1];
    bad |= low | falls;
  }
  *(i64*)p[4] = bad;
  return 0;
}
"""
