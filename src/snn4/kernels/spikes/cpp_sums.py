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
template <int V> static inline void add_rows(const float* rows, const int32_t* found, i64 count, i64 stride, float* y,
                                             const float* last) {
  lanes sum[V];
  for (int v = 0; v < V; v++) sum[v] = lanes{};
  for (i64 e = 0; e < count; e++) {
    const float* row = rows + (i64)found[e] * stride;
    #pragma GCC unroll 16
    for (int v = 0; v < V; v++) { lanes w; std::memcpy(&w, row + v * LANES, sizeof(w)); sum[v] += w; }
  }
  for (int v = 0; v < V; v++) {
    if (last) { lanes b; std::memcpy(&b, last + v * LANES, sizeof(b)); sum[v] += b; }
    std::memcpy(y + v * LANES, &sum[v], sizeof(lanes));
  }
}
// y (N) = those of rows (*, N), each `stride` behind the one before, that were found, one after the other, + last
static inline void add_found(const float* rows, const int32_t* f, i64 count, i64 stride, i64 N, float* y,
                             const float* last) {
  i64 n = 0;
  for (; n + WIDE <= N; n += WIDE) add_rows<12>(rows + n, f, count, stride, y + n, last ? last + n : last);
  for (; n + 4 * LANES <= N; n += 4 * LANES) add_rows<4>(rows + n, f, count, stride, y + n, last ? last + n : last);
  for (; n + LANES <= N; n += LANES) add_rows<1>(rows + n, f, count, stride, y + n, last ? last + n : last);
  for (; n < N; n++) {
    float sum = 0;
    for (i64 e = 0; e < count; e++) sum += rows[(i64)f[e] * stride + n];
    y[n] = last ? sum + last[n] : sum;
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
      add_found(weights, found.data(), find((const uint8_t*)bits, m * K, K, found.data()), N, N, y + m * N,
                bias);
  }
}
// n <= 64 bits from `start` on
static inline uint64_t some(const uint8_t* bits, i64 start, i64 n) {
  const i64 first = start >> 3, shift = start & 7, bytes = (shift + n + 7) >> 3;
  uint64_t word = 0;
  if (bytes >= 8) std::memcpy(&word, bits + first, 8);
  else for (i64 i = 0; i < bytes; i++) word |= (uint64_t)bits[first + i] << (8 * i);
  word >>= shift;
  if (bytes > 8) word |= (uint64_t)bits[first + 8] << (64 - shift);
  return n < 64 ? word & (((uint64_t)1 << n) - 1) : word;
}
// rows of gy that are added up before the sum goes to memory: a part of the result, because it orders the sum
#define CHUNK 256
// the gradient of weights (K, N): to row k goes the sum of those rows of gy (M, N) whose bit (m, k) is 1
extern "C" void events_back(const void* bits, const float* gy, float* gw, i64 M, i64 K, i64 N, int threads) {
  const i64 across = (N + WIDE - 1) / WIDE, words = (K + 63) / 64;
  // a task is so many words of rows of the weights by WIDE columns
  i64 deep = 4;
  while (deep > 1 && (words + deep - 1) / deep * across < threads) deep /= 2;
  const i64 tasks = (words + deep - 1) / deep * across;
  #pragma omp parallel num_threads(threads) if(threads > 1)
  {
    std::vector<int32_t> found((size_t)(deep * 64 * CHUNK));
    std::vector<i64> count((size_t)(deep * 64));
    #pragma omp for schedule(dynamic, 1)
    for (i64 task = 0; task < tasks; task++) {
      const i64 k0 = task / across * deep * 64, n0 = task % across * WIDE;
      const i64 rows = std::min(deep * 64, K - k0), columns = std::min((i64)WIDE, N - n0);
      for (i64 k = 0; k < rows; k++) std::fill_n(gw + (k0 + k) * N + n0, columns, 0.0f);
      for (i64 m0 = 0; m0 < M; m0 += CHUNK) {
        std::fill(count.begin(), count.end(), 0);
        for (i64 m = 0; m < std::min((i64)CHUNK, M - m0); m++)
          for (i64 k = 0; k < rows; k += 64) {
            uint64_t word = some((const uint8_t*)bits, (m0 + m) * K + k0 + k, std::min((i64)64, rows - k));
            for (; word; word &= word - 1) {
              const i64 at = k + __builtin_ctzll(word);
              found[(size_t)(at * CHUNK + count[(size_t)at]++)] = (int32_t)m;
            }
          }
        for (i64 k = 0; k < rows; k++) {
          const i64 added = count[(size_t)k];
          float* const to = gw + (k0 + k) * N + n0;
          if (added) add_found(gy + m0 * N + n0, found.data() + k * CHUNK, added, N, columns, to, to);
        }
      }
    }
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
        add_found(weights, found.data(), count, O, O, y + ((m * Ho + i) * Wo + j) * O, bias);
      }
    }
  }
}
"""
