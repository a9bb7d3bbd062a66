"""The C++ of a x + b with one or two roundings, and of sums over events."""

from __future__ import annotations

__all__ = ["SUMS"]

SUMS = r"""// a x + b, in one step

template <class R> static void line(const R* x, const R* a, const R* b, R* y, i64 n, int once) {
  for (i64 i = 0; i < n; i++) y[i] = once ? (R)(sizeof(R) == 4 ? __builtin_fmaf((float)x[i], (float)a[i], (float)b[i])
                                                             : __builtin_fma((double)x[i], (double)a[i], (double)b[i]))
                                          : x[i] * a[i] + b[i];
}
#define LINE(size, R) \
  extern "C" void line##size(const void* x, const void* a, const void* b, void* y, i64 n, int once) { \
    line<R>((const R*)x, (const R*)a, (const R*)b, (R*)y, n, once); }
LINE(4, float) LINE(8, double)

// sums over events

#if defined(__AVX512F__)
#define LANES 16
#else
#define LANES 8
#endif
typedef float lanes __attribute__((vector_size(LANES * 4)));
// as many sums at once as fit into registers
#define WIDE (12 * LANES)
template <int V> static inline void add_rows(const float* weights, const int32_t* found, i64 count, i64 N, float* y,
                                             const float* bias) {
  lanes sum[V];
  for (int v = 0; v < V; v++) sum[v] = lanes{};
  for (i64 e = 0; e < count; e++) {
    const float* row = weights + (i64)found[e] * N;
    #pragma GCC unroll 16
    for (int v = 0; v < V; v++) { lanes w; std::memcpy(&w, row + v * LANES, sizeof(w)); sum[v] += w; }
  }
  for (int v = 0; v < V; v++) {
    if (bias) { lanes b; std::memcpy(&b, bias + v * LANES, sizeof(b)); sum[v] += b; }
    std::memcpy(y + v * LANES, &sum[v], sizeof(lanes));
  }
}
// y[m, :] = the rows of weights (K, N) where bits[m, :] is 1, in the order of k, + bias
extern "C" void events(const void* bits_, const float* weights, const float* bias, float* y, i64 M, i64 K, i64 N,
                       int threads) {
  const uint8_t* bits = (const uint8_t*)bits_;
  #pragma omp parallel num_threads(threads) if(threads > 1)
  {
    std::vector<int32_t> found((size_t)K);
    #pragma omp for schedule(dynamic, 16)
    for (i64 m = 0; m < M; m++) {
      i64 count = 0;
      for (i64 i = m * K; i < (m + 1) * K;) {
        if ((i & 7) == 0 && i + 64 <= (m + 1) * K) {
          uint64_t word;
          std::memcpy(&word, bits + (i >> 3), 8);
          while (word) { found[(size_t)count++] = (int32_t)(i - m * K + __builtin_ctzll(word)); word &= word - 1; }
          i += 64;
        } else { if (bit(bits, i)) found[(size_t)count++] = (int32_t)(i - m * K); i++; }
      }
      i64 n = 0;
      const int32_t* f = found.data();
      float* to = y + m * N;
      for (; n + WIDE <= N; n += WIDE) add_rows<12>(weights + n, f, count, N, to + n, bias ? bias + n : bias);
      for (; n + 4 * LANES <= N; n += 4 * LANES) add_rows<4>(weights + n, f, count, N, to + n, bias ? bias + n : bias);
      for (; n + LANES <= N; n += LANES) add_rows<1>(weights + n, f, count, N, to + n, bias ? bias + n : bias);
      for (; n < N; n++) {
        float sum = 0;
        for (i64 e = 0; e < count; e++) sum += weights[(i64)f[e] * N + n];
        to[n] = bias ? sum + bias[n] : sum;
      }
    }
  }
}
"""
