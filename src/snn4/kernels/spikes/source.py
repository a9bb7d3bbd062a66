"""The C++ of spikes: pack and unpack, pooling, and sums over events."""

from __future__ import annotations

import ctypes
import functools

import torch
from torch import Tensor

from snn4.kernels import build

__all__ = ["address", "library", "threads_for"]

# below, one thread is faster than waking others
_SERIAL = 32_768

SOURCE = r"""
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <vector>
#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif
typedef int64_t i64;

// ---------------------------------------------------------------------------------------------------- 0 and 1 as bits

// 64 words to 64 bits; `good` has a bit for each word that is 0 or 1
template <class W> static inline uint64_t gather64(const W* x, W one, uint64_t& good) {
  uint64_t ones = 0, bad = 0;
  for (int k = 0; k < 64; k++) {
    ones |= (uint64_t)(x[k] == one) << k;
    bad |= (uint64_t)((x[k] != one) & (x[k] != 0)) << k;
  }
  good = ~bad;
  return ones;
}
#if defined(__AVX512F__)
static inline uint64_t gather64(const uint32_t* x, uint32_t one, uint64_t& good) {
  uint64_t ones = 0, zeros = 0;
  const __m512i o = _mm512_set1_epi32((int)one), z = _mm512_setzero_si512();
  for (int k = 0; k < 4; k++) {
    const __m512i v = _mm512_loadu_si512(x + 16 * k);
    ones |= (uint64_t)_mm512_cmpeq_epi32_mask(v, o) << (16 * k);
    zeros |= (uint64_t)_mm512_cmpeq_epi32_mask(v, z) << (16 * k);
  }
  good = ones | zeros;
  return ones;
}
#elif defined(__AVX2__)
static inline uint64_t gather64(const uint32_t* x, uint32_t one, uint64_t& good) {
  uint64_t ones = 0, zeros = 0;
  const __m256i o = _mm256_set1_epi32((int)one), z = _mm256_setzero_si256();
  for (int k = 0; k < 8; k++) {
    const __m256i v = _mm256_loadu_si256((const __m256i*)(x + 8 * k));
    ones |= (uint64_t)(uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpeq_epi32(v, o))) << (8 * k);
    zeros |= (uint64_t)(uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpeq_epi32(v, z))) << (8 * k);
  }
  good = ones | zeros;
  return ones;
}
#endif
#if defined(__AVX512BW__)
static inline uint64_t gather64(const uint16_t* x, uint16_t one, uint64_t& good) {
  uint64_t ones = 0, zeros = 0;
  const __m512i o = _mm512_set1_epi16((short)one), z = _mm512_setzero_si512();
  for (int k = 0; k < 2; k++) {
    const __m512i v = _mm512_loadu_si512(x + 32 * k);
    ones |= (uint64_t)_mm512_cmpeq_epi16_mask(v, o) << (32 * k);
    zeros |= (uint64_t)_mm512_cmpeq_epi16_mask(v, z) << (32 * k);
  }
  good = ones | zeros;
  return ones;
}
#endif

template <class W> static inline void scatter64(uint64_t ones, W one, W* x) {
  for (int k = 0; k < 64; k++) x[k] = (W)(-(W)((ones >> k) & 1)) & one;
}
#if defined(__AVX512F__)
static inline void scatter64(uint64_t ones, uint32_t one, uint32_t* x) {
  const __m512i o = _mm512_set1_epi32((int)one);
  for (int k = 0; k < 4; k++) _mm512_storeu_si512(x + 16 * k, _mm512_maskz_mov_epi32((__mmask16)(ones >> (16 * k)), o));
}
#endif

// how many words are 1, or -1 where one is neither 0 nor 1
template <class W> static i64 pack(const W* x, uint8_t* out, i64 n, W one, int threads) {
  const i64 blocks = n / 64, chunk = 64;
  std::atomic<bool> failed{false};
  i64 total = 0;
  // what is no spike train shows at once, before other threads are woken
  for (i64 i = 0; i < std::min<i64>(n, 256); i++) if (x[i] != 0 && x[i] != one) return -1;
  #pragma omp parallel for schedule(static) num_threads(threads) if(threads > 1) reduction(+ : total)
  for (i64 c = 0; c < (blocks + chunk - 1) / chunk; c++) {
    if (failed.load(std::memory_order_relaxed)) continue;
    uint64_t all = ~(uint64_t)0;
    for (i64 b = c * chunk; b < std::min(blocks, (c + 1) * chunk); b++) {
      uint64_t good;
      const uint64_t ones = gather64(x + 64 * b, one, good);
      std::memcpy(out + 8 * b, &ones, 8);
      total += __builtin_popcountll(ones);
      all &= good;
    }
    if (all != ~(uint64_t)0) failed.store(true, std::memory_order_relaxed);
  }
  for (i64 i = 64 * blocks; i < n; i++) {
    if (i % 8 == 0) out[i / 8] = 0;
    if (x[i] == one) { out[i / 8] |= (uint8_t)(1 << (i % 8)); total++; }
    else if (x[i] != 0) failed.store(true);
  }
  return failed.load() ? -1 : total;
}
template <class W> static void unpack(const uint8_t* in, W* x, i64 n, W one, int threads) {
  const i64 blocks = n / 64;
  #pragma omp parallel for schedule(static) num_threads(threads) if(threads > 1)
  for (i64 b = 0; b < blocks; b++) { uint64_t ones; std::memcpy(&ones, in + 8 * b, 8); scatter64(ones, one, x + 64 * b); }
  for (i64 i = 64 * blocks; i < n; i++) x[i] = (in[i / 8] >> (i % 8)) & 1 ? one : (W)0;
}
#define WORDS(size, W) \
  extern "C" i64 pack##size(const void* x, void* out, i64 n, uint64_t one, int threads) { \
    return pack<W>((const W*)x, (uint8_t*)out, n, (W)one, threads); } \
  extern "C" void unpack##size(const void* in, void* x, i64 n, uint64_t one, int threads) { \
    unpack<W>((const uint8_t*)in, (W*)x, n, (W)one, threads); }
WORDS(2, uint16_t) WORDS(4, uint32_t) WORDS(8, uint64_t)

// ------------------------------------------------------------------------- quarters from 0 to 3.75: pooled, summed spikes

template <class R> static int pack_quarters(const R* x, uint8_t* out, i64 n, int threads) {
  std::atomic<bool> failed{false};
  const i64 chunk = 4096;
  #pragma omp parallel for schedule(static) num_threads(threads) if(threads > 1)
  for (i64 c = 0; c < (n + chunk - 1) / chunk; c++) {
    if (failed.load(std::memory_order_relaxed)) continue;
    int bad = 0;
    uint8_t codes[4096];
    const i64 len = std::min<i64>(chunk, n - c * chunk);
    const R* row = x + c * chunk;
    #pragma omp simd reduction(| : bad)
    for (i64 i = 0; i < len; i++) {
      const R v = row[i];
      const int inside = (v >= (R)0) & (v <= (R)3.75);
      const int code = (int)((inside ? v : (R)0) * (R)4);
      // negative zero would come back as zero
      bad |= !inside | ((R)code * (R)0.25 != v) | (__builtin_signbit(v) != 0);
      codes[i] = (uint8_t)code;
    }
    if (bad) { failed.store(true, std::memory_order_relaxed); continue; }
    if (len % 2) codes[len] = 0;
    uint8_t* to = out + c * chunk / 2;
    for (i64 i = 0; i < (len + 1) / 2; i++) to[i] = (uint8_t)(codes[2 * i] | (codes[2 * i + 1] << 4));
  }
  return failed.load() ? -1 : 0;
}
template <class R> static void unpack_quarters(const uint8_t* in, R* x, i64 n, int threads) {
  #pragma omp parallel for schedule(static) num_threads(threads) if(threads > 1)
  for (i64 i = 0; i < n / 2; i++) { x[2 * i] = (R)(in[i] & 15) * (R)0.25; x[2 * i + 1] = (R)(in[i] >> 4) * (R)0.25; }
  if (n % 2) x[n - 1] = (R)(in[n / 2] & 15) * (R)0.25;
}
#define REALS(size, R) \
  extern "C" int quarters##size(const void* x, void* out, i64 n, int threads) { \
    return pack_quarters<R>((const R*)x, (uint8_t*)out, n, threads); } \
  extern "C" void unquarters##size(const void* in, void* x, i64 n, int threads) { \
    unpack_quarters<R>((const uint8_t*)in, (R*)x, n, threads); }
REALS(4, float) REALS(8, double)

// -------------------------------------------------------------------------------------------------- pooling of spikes

// Images x (rows, columns, inner), inner the channels of channels_last or 1; windows of h x w side by side.
// One row of windows: h rows of W * I elements each, one behind the other. Constants of h, w and I let loops vectorise.
template <class R> static inline void pool_row(const R* x, R* y, i64 Wo, i64 line, i64 I, i64 h, i64 w, int mean) {
  const R size = (R)(h * w);
  for (i64 c = 0; c < Wo; c++) {
    const R* first = x + c * w * I;
    for (i64 k = 0; k < I; k++) {
      R v = first[k];
      for (i64 a = 0; a < h; a++) for (i64 b = a ? 0 : 1; b < w; b++) {
        const R in = first[a * line + b * I + k];
        v = mean ? v + in : (v > in ? v : in);
      }
      y[c * I + k] = mean ? v / size : v;
    }
  }
}
template <class R> static void pool(const R* x, R* y, i64 images, i64 H, i64 W, i64 I, i64 h, i64 w, int mean,
                                    int threads) {
  const i64 Ho = H / h, Wo = W / w, line = W * I;
  #pragma omp parallel for schedule(static) num_threads(threads) if(threads > 1)
  for (i64 r = 0; r < images * Ho; r++) {
    const R* from = x + ((r / Ho) * H + (r % Ho) * h) * line;
    R* to = y + r * Wo * I;
    if (h == 2 && w == 2 && I == 1 && !mean) pool_row<R>(from, to, Wo, line, 1, 2, 2, 0);
    else if (h == 2 && w == 2 && I == 1) pool_row<R>(from, to, Wo, line, 1, 2, 2, 1);
    else if (h == 2 && w == 2) pool_row<R>(from, to, Wo, line, I, 2, 2, mean);
    else pool_row<R>(from, to, Wo, line, I, h, w, mean);
  }
}
static inline int bit(const uint8_t* bits, i64 i) { return (bits[i >> 3] >> (i & 7)) & 1; }
// bits from `start` on, one to a byte
static inline void spread(const uint8_t* bits, i64 start, i64 n, uint8_t* bytes) {
  i64 i = 0;
  for (; i + 16 <= n; i += 8) {
    const i64 at = (start + i) >> 3;
    const uint64_t eight = (((unsigned)bits[at] | ((unsigned)bits[at + 1] << 8)) >> ((start + i) & 7)) & 255;
    // each bit to the lowest of its own byte
    uint64_t v = (eight | (eight << 28)) & 0x0000000F0000000Full;
    v = (v | (v << 14)) & 0x0003000300030003ull;
    v = (v | (v << 7)) & 0x0101010101010101ull;
    std::memcpy(bytes + i, &v, 8);
  }
  for (; i < n; i++) bytes[i] = (uint8_t)bit(bits, start + i);
}
// the gradient goes to the first spike of a window, or to its first element where there is none, as in torch
template <class R> static inline void unpool_row(const uint8_t* s, const R* gy, R* gx, i64 Wo, i64 line, i64 I, i64 h,
                                                 i64 w) {
  for (i64 c = 0; c < Wo; c++) {
    const i64 corner = c * w * I;
    for (i64 k = 0; k < I; k++) {
      const R g = gy[c * I + k];
      uint8_t any = 0;
      for (i64 a = 0; a < h; a++) for (i64 b = 0; b < w; b++) any |= s[corner + a * line + b * I + k];
      uint8_t open = 1;
      for (i64 a = 0; a < h; a++) for (i64 b = 0; b < w; b++) {
        const i64 at = corner + a * line + b * I + k;
        const uint8_t takes = (uint8_t)(open & (s[at] | (any ^ 1)));
        open &= (uint8_t)(takes ^ 1);
        gx[at] = takes ? g : (R)0;
      }
    }
  }
}
// each value twice, side by side
static inline void twice(const float* __restrict g, float* __restrict to, i64 n) {
  #pragma omp simd
  for (i64 c = 0; c < n; c++) {
    uint32_t v;
    std::memcpy(&v, g + c, 4);
    const uint64_t both = (uint64_t)v * 0x100000001ull;
    std::memcpy(to + 2 * c, &both, 8);
  }
}
static inline void twice(const double* __restrict g, double* __restrict to, i64 n) {
  for (i64 c = 0; c < n; c++) to[2 * c] = to[2 * c + 1] = g[c];
}
// The same for windows of 2 x 2 in one image of one channel. Rows are short, so each is worked on in buffers that are
// filled up to whole vectors.
template <class R> struct Pairs {
  const i64 H, W, Wo, wide;
  std::vector<uint8_t> spikes, up, down;
  std::vector<R> row, both, above, below;
  Pairs(i64 H_, i64 W_) : H(H_), W(W_), Wo(W_ / 2), wide((W_ / 2 + 31) / 32 * 32),
    spikes((size_t)(H_ * W_ + 2 * wide)), up((size_t)(2 * wide)), down((size_t)(2 * wide)), row((size_t)wide),
    both((size_t)(2 * wide)), above((size_t)(2 * wide)), below((size_t)(2 * wide)) {}

  void select(const uint8_t* __restrict one, const uint8_t* __restrict two, uint8_t* __restrict a,
              uint8_t* __restrict b) const {
    // a pair of bytes as one number: its low byte is the left spike
    #pragma omp simd
    for (i64 c = 0; c < wide; c++) {
      uint16_t m, n;
      std::memcpy(&m, one + 2 * c, 2);
      std::memcpy(&n, two + 2 * c, 2);
      const uint16_t p = m & 1, q = m >> 8, t = n & 1, u = n >> 8;
      const uint16_t none = (uint16_t)((p | q | t | u) ^ 1);
      const uint16_t first = (uint16_t)((p | none) | ((q & (p ^ 1)) << 8));
      const uint16_t second = (uint16_t)((t & ((p | q) ^ 1)) | ((u & ((p | q | t) ^ 1)) << 8));
      std::memcpy(a + 2 * c, &first, 2);
      std::memcpy(b + 2 * c, &second, 2);
    }
  }
  static void put(const uint8_t* __restrict takes, const R* __restrict g, R* __restrict to, i64 n) {
    #pragma omp simd
    for (i64 j = 0; j < n; j++) to[j] = takes[j] ? g[j] : (R)0;
  }
  void image(const R* g, R* x) {
    for (i64 r = 0; r < H / 2; r++) {
      const uint8_t* one = spikes.data() + 2 * r * W;
      select(one, one + W, up.data(), down.data());
      std::memcpy(row.data(), g + r * Wo, sizeof(R) * (size_t)Wo);
      twice(row.data(), both.data(), wide);
      put(up.data(), both.data(), above.data(), 2 * wide);
      put(down.data(), both.data(), below.data(), 2 * wide);
      std::memcpy(x + 2 * r * W, above.data(), sizeof(R) * (size_t)(2 * Wo));
      std::memcpy(x + (2 * r + 1) * W, below.data(), sizeof(R) * (size_t)(2 * Wo));
      if (W % 2) x[2 * r * W + W - 1] = x[(2 * r + 1) * W + W - 1] = (R)0;
    }
    if (H % 2) std::fill(x + (H - 1) * W, x + H * W, (R)0);
  }
};
template <class R> static inline void unpool_last(const uint8_t* __restrict s, const R* __restrict g, R* __restrict x00,
                                                  R* __restrict x01, R* __restrict x10, R* __restrict x11, i64 line,
                                                  i64 I) {
  #pragma omp simd
  for (i64 k = 0; k < I; k++) {
    const uint8_t p = s[k], q = s[I + k], r = s[line + k], t = s[line + I + k];
    const uint8_t none = (uint8_t)((p | q | r | t) ^ 1);
    x00[k] = (p | none) ? g[k] : (R)0;
    x01[k] = (q & (p ^ 1)) ? g[k] : (R)0;
    x10[k] = (r & ((p | q) ^ 1)) ? g[k] : (R)0;
    x11[k] = (t & ((p | q | r) ^ 1)) ? g[k] : (R)0;
  }
}
template <class R> static void unpool(const uint8_t* bits, const R* gy, R* gx, i64 images, i64 H, i64 W, i64 I, i64 h,
                                      i64 w, int threads) {
  const i64 Ho = H / h, Wo = W / w, line = W * I;
  if (h == 2 && w == 2 && I == 1 && H * W <= 16384) {
    #pragma omp parallel num_threads(threads) if(threads > 1)
    {
      Pairs<R> pairs(H, W);
      #pragma omp for schedule(static)
      for (i64 m = 0; m < images; m++) {
        spread(bits, m * H * W, H * W, pairs.spikes.data());
        pairs.image(gy + m * Ho * Wo, gx + m * H * W);
      }
    }
    return;
  }
  #pragma omp parallel num_threads(threads) if(threads > 1)
  {
    std::vector<uint8_t> spikes((size_t)(h * line));
    uint8_t* const s = spikes.data();
    #pragma omp for schedule(static)
    for (i64 r = 0; r < images * Ho; r++) {
      const i64 start = ((r / Ho) * H + (r % Ho) * h) * line;
      const R* from = gy + r * Wo * I;
      R* to = gx + start;
      spread(bits, start, h * line, s);
      if (h == 2 && w == 2) {
        for (i64 c = 0; c < Wo; c++) {
          R* const x = to + 2 * c * I;
          unpool_last<R>(s + 2 * c * I, from + c * I, x, x + I, x + line, x + line + I, line, I);
        }
      } else unpool_row<R>(s, from, to, Wo, line, I, h, w);
      // columns to the right of the last window, and rows below it
      for (i64 a = 0; a < h; a++) std::fill(to + a * line + Wo * w * I, to + (a + 1) * line, (R)0);
      if (r % Ho == Ho - 1) std::fill(to + h * line, gx + (r / Ho + 1) * H * line, (R)0);
    }
  }
}
#define POOL(size, R) \
  extern "C" void pool##size(const void* x, void* y, i64 images, i64 H, i64 W, i64 I, i64 h, i64 w, int mean, \
                             int threads) { \
    pool<R>((const R*)x, (R*)y, images, H, W, I, h, w, mean, threads); } \
  extern "C" void unpool##size(const void* bits, const void* gy, void* gx, i64 images, i64 H, i64 W, i64 I, i64 h, \
                               i64 w, int threads) { \
    unpool<R>((const uint8_t*)bits, (const R*)gy, (R*)gx, images, H, W, I, h, w, threads); }
POOL(4, float) POOL(8, double)

// ---------------------------------------------------------------------------------------------------- a x + b, in one step

template <class R> static void line(const R* x, const R* a, const R* b, R* y, i64 n, int once) {
  for (i64 i = 0; i < n; i++) y[i] = once ? (R)(sizeof(R) == 4 ? __builtin_fmaf((float)x[i], (float)a[i], (float)b[i])
                                                             : __builtin_fma((double)x[i], (double)a[i], (double)b[i]))
                                          : x[i] * a[i] + b[i];
}
#define LINE(size, R) \
  extern "C" void line##size(const void* x, const void* a, const void* b, void* y, i64 n, int once) { \
    line<R>((const R*)x, (const R*)a, (const R*)b, (R*)y, n, once); }
LINE(4, float) LINE(8, double)

// ------------------------------------------------------------------------------------------------- sums over events

// y[m, :] = bias + the rows of weights (K, N) where bits[m, :] is 1, in the order of k
extern "C" void events(const void* bits_, const float* weights, const float* bias, float* y, i64 M, i64 K, i64 N, int threads) {
  const uint8_t* bits = (const uint8_t*)bits_;
  const i64 wide = 256;
  #pragma omp parallel num_threads(threads) if(threads > 1)
  {
    std::vector<int32_t> found((size_t)K);
    #pragma omp for schedule(dynamic, 16)
    for (i64 m = 0; m < M; m++) {
      i64 count = 0;
      for (i64 i = m * K; i < (m + 1) * K;) {
        // whole bytes, once i stands at one
        if ((i & 7) == 0 && i + 8 <= (m + 1) * K) {
          unsigned byte = bits[i >> 3];
          while (byte) { found[(size_t)count++] = (int32_t)(i - m * K + __builtin_ctz(byte)); byte &= byte - 1; }
          i += 8;
        } else { if (bit(bits, i)) found[(size_t)count++] = (int32_t)(i - m * K); i++; }
      }
      for (i64 n = 0; n < N; n += wide) {
        const i64 len = std::min(wide, N - n);
        alignas(64) float sum[256];
        if (bias) std::memcpy(sum, bias + n, sizeof(float) * (size_t)len); else std::memset(sum, 0, sizeof(sum));
        if (len == wide) {
          for (i64 e = 0; e < count; e++) {
            const float* row = weights + (i64)found[(size_t)e] * N + n;
            #pragma omp simd aligned(sum : 64)
            for (int j = 0; j < 256; j++) sum[j] += row[j];
          }
        } else {
          for (i64 e = 0; e < count; e++) {
            const float* row = weights + (i64)found[(size_t)e] * N + n;
            for (i64 j = 0; j < len; j++) sum[j] += row[j];
          }
        }
        std::memcpy(y + m * N + n, sum, sizeof(float) * (size_t)len);
      }
    }
  }
}
"""


def library() -> ctypes.CDLL | None:
    """The compiled functions, or None where nothing can be compiled."""
    return None if build.no_compiler_reason() is not None else _built()


@functools.cache
def _built() -> ctypes.CDLL | None:
    try:
        found = build.library(SOURCE, label="spikes as bits")
    except build.BuildError as problem:
        build.notice(f"spikes are packed by torch, which is slower: {problem}")
        return None
    for size in (2, 4, 8):
        getattr(found, f"pack{size}").restype = ctypes.c_int64
    return found


def address(tensor: Tensor | None) -> ctypes.c_void_p:
    """Where a tensor lies."""
    return ctypes.c_void_p(None if tensor is None else tensor.data_ptr())


def threads_for(count: int) -> ctypes.c_int:
    """How many threads a pass over so many elements is worth."""
    return ctypes.c_int(torch.get_num_threads() if count >= _SERIAL else 1)
