"""The C++ of pooling spikes, forward and backward."""

from __future__ import annotations

__all__ = ["POOL"]

POOL = r"""// pooling of spikes

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

"""
