"""The C++ of packing: zeros and ones to bits, quarters to half bytes, and back."""

from __future__ import annotations

__all__ = ["BITS"]

BITS = r"""
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <vector>
#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif
typedef int64_t i64;

// 0 and 1 as bits

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
  for (i64 b = 0; b < blocks; b++) {
    uint64_t ones;
    std::memcpy(&ones, in + 8 * b, 8);
    scatter64(ones, one, x + 64 * b);
  }
  for (i64 i = 64 * blocks; i < n; i++) x[i] = (in[i / 8] >> (i % 8)) & 1 ? one : (W)0;
}
#define WORDS(size, W) \
  extern "C" i64 pack##size(const void* x, void* out, i64 n, uint64_t one, int threads) { \
    return pack<W>((const W*)x, (uint8_t*)out, n, (W)one, threads); } \
  extern "C" void unpack##size(const void* in, void* x, i64 n, uint64_t one, int threads) { \
    unpack<W>((const uint8_t*)in, (W*)x, n, (W)one, threads); }
WORDS(2, uint16_t) WORDS(4, uint32_t) WORDS(8, uint64_t)

// quarters from 0 to 3.75: pooled, summed spikes

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

"""
