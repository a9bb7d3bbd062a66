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
// y = the rows of weights (*, N) that were found, one after the other, + bias
static inline void add_found(const float* weights, const int32_t* f, i64 count, i64 N, float* y, const float* bias) {
  i64 n = 0;
  for (; n + WIDE <= N; n += WIDE) add_rows<12>(weights + n, f, count, N, y + n, bias ? bias + n : bias);
  for (; n + 4 * LANES <= N; n += 4 * LANES) add_rows<4>(weights + n, f, count, N, y + n, bias ? bias + n : bias);
  for (; n + LANES <= N; n += LANES) add_rows<1>(weights + n, f, count, N, y + n, bias ? bias + n : bias);
  for (; n < N; n++) {
    float sum = 0;
    for (i64 e = 0; e < count; e++) sum += weights[(i64)f[e] * N + n];
    y[n] = bias ? sum + bias[n] : sum;
  }
}
// where the bits from `start` on are 1
static inline i64 find(const uint8_t* bits, i64 start, i64 n, int32_t* found) {
  i64 count = 0, i = 0;
  while (i < n) {
    const i64 at = start + i;
    if ((at & 7) == 0 && i + 64 <= n) {
      uint64_t word;
      std::memcpy(&word, bits + (at >> 3), 8);
      while (word) { found[count++] = (int32_t)(i + __builtin_ctzll(word)); word &= word - 1; }
      i += 64;
    } else if ((at & 7) == 0 && i + 8 <= n) {
      unsigned byte = bits[at >> 3];
      while (byte) { found[count++] = (int32_t)(i + __builtin_ctz(byte)); byte &= byte - 1; }
      i += 8;
    } else {
      if (bit(bits, at)) found[count++] = (int32_t)i;
      i++;
    }
  }
  return count;
}
// rows (M, K) of bits by weights (K, N)
extern "C" void events(const void* bits, const float* weights, const float* bias, float* y, i64 M, i64 K, i64 N,
                       int threads) {
  #pragma omp parallel num_threads(threads) if(threads > 1)
  {
    std::vector<int32_t> found((size_t)K);
    #pragma omp for schedule(dynamic, 16)
    for (i64 m = 0; m < M; m++)
      add_found(weights, found.data(), find((const uint8_t*)bits, m * K, K, found.data()), N, y + m * N, bias);
  }
}
// images (n, H, W, C) of bits by weights (h, w, C, O); s: n, H, W, C, O, rows and columns of the output, h, w, then
// stride, padding and dilation of both axes
extern "C" void convolved(const void* bits, const float* weights, const float* bias, float* y, const i64* s,
                          int threads) {
  const i64 n = s[0], H = s[1], W = s[2], C = s[3], O = s[4], Ho = s[5], Wo = s[6], h = s[7], w = s[8];
  #pragma omp parallel num_threads(threads) if(threads > 1)
  {
    std::vector<int32_t> all((size_t)(H * W * C)), found((size_t)(h * w * C));
    std::vector<i64> first((size_t)(H * W + 1));
    #pragma omp for schedule(dynamic, 1)
    for (i64 m = 0; m < n; m++) {
      first[0] = 0;
      for (i64 p = 0; p < H * W; p++)
        first[(size_t)p + 1] = first[(size_t)p]
          + find((const uint8_t*)bits, (m * H * W + p) * C, C, all.data() + first[(size_t)p]);
      for (i64 i = 0; i < Ho; i++) for (i64 j = 0; j < Wo; j++) {
        i64 count = 0;
        for (i64 a = 0; a < h; a++) for (i64 b = 0; b < w; b++) {
          const i64 r = i * s[9] - s[11] + a * s[13], c = j * s[10] - s[12] + b * s[14];
          if (r < 0 || c < 0 || r >= H || c >= W) continue;
          const i64 p = r * W + c;
          const int32_t tap = (int32_t)((a * w + b) * C);
          for (i64 e = first[(size_t)p]; e < first[(size_t)p + 1]; e++) found[(size_t)count++] = tap + all[(size_t)e];
        }
        add_found(weights, found.data(), count, O, y + ((m * Ho + i) * Wo + j) * O, bias);
      }
    }
  }
}
"""
