"""The C++ of a recurrent layer that is the same for every neuron: products with weights, and the way through time."""

from __future__ import annotations

__all__ = ["DRIVER", "PRODUCT", "SAMPLES"]

# most samples of a tile
SAMPLES = 8

# A sum over neurons is made in their order, from the bias, with one rounding a term; so a neuron that gave 0 may be
# left out, and how many samples are worked on together makes no difference.
PRODUCT = r"""
#if defined(__AVX512F__)
enum : i64 { WIDE = 64 };
#elif defined(__AVX2__)
enum : i64 { WIDE = 32 };
#else
enum : i64 { WIDE = 16 };
#endif
enum : i64 { LANES = WIDE / sizeof(real), SAMPLES = @SAMPLES@, AHEAD = 4 };
typedef real vec __attribute__((vector_size(WIDE), aligned(sizeof(real)), may_alias));
static inline vec load(const real* p) { return *(const vec*)p; }
static inline void store(real* p, vec v) { *(vec*)p = v; }
// sum + a w
static inline vec axpy(real a, vec w, vec sum) {
#if defined(__AVX512F__)
  if constexpr (sizeof(real) == 4) return (vec)_mm512_fmadd_ps(_mm512_set1_ps((float)a), (__m512)w, (__m512)sum);
  else return (vec)_mm512_fmadd_pd(_mm512_set1_pd((double)a), (__m512d)w, (__m512d)sum);
#elif defined(__AVX2__) && defined(__FMA__)
  if constexpr (sizeof(real) == 4) return (vec)_mm256_fmadd_ps(_mm256_set1_ps((float)a), (__m256)w, (__m256)sum);
  else return (vec)_mm256_fmadd_pd(_mm256_set1_pd((double)a), (__m256d)w, (__m256d)sum);
#else
  return sum + a * w;
#endif
}
// the places of a row that are not zero
static inline i64 fired(const real* row, i64 n, int32_t* places) {
  i64 count = 0;
#if defined(__AVX512F__)
  for (i64 j = 0; j < n; j += LANES) {
    const i64 left = std::min<i64>(LANES, n - j);
    uint32_t found;
    if constexpr (sizeof(real) == 4) {
      const __mmask16 in = (__mmask16)((1u << left) - 1);
      found = _mm512_mask_cmp_ps_mask(in, _mm512_maskz_loadu_ps(in, row + j), _mm512_setzero_ps(), _CMP_NEQ_UQ);
    } else {
      const __mmask8 in = (__mmask8)((1u << left) - 1);
      found = _mm512_mask_cmp_pd_mask(in, _mm512_maskz_loadu_pd(in, row + j), _mm512_setzero_pd(), _CMP_NEQ_UQ);
    }
    for (; found; found &= found - 1) places[count++] = (int32_t)(j + __builtin_ctz(found));
  }
#else
  for (i64 j = 0; j < n; j++) { places[count] = (int32_t)j; count += row[j] != 0; }
#endif
  return count;
}
// out[0:C vectors] += sum of row[j] m[j], over the places j
template <int C> static inline void gathered(const real* row, const int32_t* places, i64 count, const real* m,
                                             i64 width, real* out) {
  vec sum[C];
  for (int c = 0; c < C; c++) sum[c] = load(out + c * LANES);
  for (i64 k = 0; k < count; k++) {
    const i64 j = places[k];
    const real a = row[j]; const real* const w = m + j * width;
    for (int c = 0; c < C; c++) sum[c] = axpy(a, load(w + c * LANES), sum[c]);
  }
  for (int c = 0; c < C; c++) store(out + c * LANES, sum[c]);
}
static void gather(const real* row, const int32_t* places, i64 count, const real* m, i64 width, real* out) {
  i64 at = 0;
  for (; at + 8 * LANES <= width; at += 8 * LANES) gathered<8>(row, places, count, m + at, width, out + at);
  const i64 left = (width - at) / LANES;
  if (left & 4) { gathered<4>(row, places, count, m + at, width, out + at); at += 4 * LANES; }
  if (left & 2) { gathered<2>(row, places, count, m + at, width, out + at); at += 2 * LANES; }
  if (left & 1) gathered<1>(row, places, count, m + at, width, out + at);
}
// m[j] += row[j] g, over the places j
static void scatter(const real* row, const int32_t* places, i64 count, const real* g, i64 width, real* m) {
  for (i64 k = 0; k < count; k++) {
    const i64 j = places[k];
    const real a = row[j]; real* const w = m + j * width;
    for (i64 c = 0; c < width; c += LANES) store(w + c, axpy(a, load(g + c), load(w + c)));
  }
}
// out[r][0:C vectors] += sum of a[r][j] m[j], over j0 <= j < j1, for R samples
template <int R, int C> static inline void multiplied(const real* a, i64 apart, const real* m, i64 j0, i64 j1,
                                                      i64 width, real* out) {
  vec sum[R][C];
  for (int r = 0; r < R; r++) for (int c = 0; c < C; c++) sum[r][c] = load(out + r * width + c * LANES);
  for (i64 j = j0; j < j1; j++) {
    const real* const w = m + j * width;
    vec row[C];
    for (int c = 0; c < C; c++) row[c] = load(w + c * LANES);
    for (int r = 0; r < R; r++) for (int c = 0; c < C; c++) sum[r][c] = axpy(a[r * apart + j], row[c], sum[r][c]);
  }
  for (int r = 0; r < R; r++) for (int c = 0; c < C; c++) store(out + r * width + c * LANES, sum[r][c]);
}
template <int C> static inline void columns(const real* a, i64 apart, i64 rows, const real* m, i64 j0, i64 j1,
                                            i64 width, real* out) {
  i64 r = 0;
  for (; r + 4 <= rows; r += 4) multiplied<4, C>(a + r * apart, apart, m, j0, j1, width, out + r * width);
  for (; r < rows; r++) multiplied<1, C>(a + r * apart, apart, m, j0, j1, width, out + r * width);
}
static void multiply(const real* a, i64 apart, i64 rows, const real* m, i64 j0, i64 j1, i64 width, real* out) {
  i64 at = 0;
  for (; at + 4 * LANES <= width; at += 4 * LANES) columns<4>(a, apart, rows, m + at, j0, j1, width, out + at);
  const i64 left = (width - at) / LANES;
  if (left & 2) { columns<2>(a, apart, rows, m + at, j0, j1, width, out + at); at += 2 * LANES; }
  if (left & 1) columns<1>(a, apart, rows, m + at, j0, j1, width, out + at);
}
""".replace("@SAMPLES@", str(SAMPLES))

DRIVER = r"""
// rows of a sample in the order of the layer, to and from ours
static inline void take(const Env& e, const real* from, real* to) {
  for (i64 m = 0; m < KINDS; m++) std::memcpy(to + e.at[m], from + e.from[m], sizeof(real) * (size_t)e.n[m]);
}
static inline void give(const Env& e, const real* from, real* to) {
  for (i64 m = 0; m < KINDS; m++) std::memcpy(to + e.from[m], from + e.at[m], sizeof(real) * (size_t)e.n[m]);
}
static void take_fields(const Env& e, real* const* from, i64 place, i64 S, real* to) {
  for (i64 s = 0; s < S; s++) for (i64 k = 0; k < FIELDS; k++)
    if (from[k]) take(e, from[k] + (place + s) * e.N, to + (s * FIELDS + k) * e.NP);
}
static void give_fields(const Env& e, const real* from, i64 place, i64 S, real* const* to) {
  for (i64 s = 0; s < S; s++) for (i64 k = 0; k < FIELDS; k++)
    if (to[k]) give(e, from + (s * FIELDS + k) * e.NP, to[k] + (place + s) * e.N);
}
// what neurons gave one step before; null before a layer at rest
static inline const real* before(const Env& e, i64 t, i64 b0) {
  return t ? e.y + ((t - 1) * e.B + b0) * e.N : (e.start ? e.start + b0 * e.N : nullptr);
}
// the currents of a tile at one step; gives the number of neurons that gave something one step before
static i64 currents(const Env& e, i64 t, i64 b0, i64 S, real* cur, int32_t* places) {
  const real* const prev = before(e, t, b0);
  i64 count[SAMPLES], all = 0;
  for (i64 s = 0; s < S; s++) {
    count[s] = prev ? fired(prev + s * e.N, e.N, places + s * e.N) : 0;
    all += count[s];
    if (e.bias && (t || !e.skip)) std::memcpy(cur + s * e.NP, e.bias, sizeof(real) * (size_t)e.NP);
    else std::memset(cur + s * e.NP, 0, sizeof(real) * (size_t)e.NP);
  }
  if (prev && (e.dense || 2 * all > S * e.N)) multiply(prev, e.N, S, e.rows, 0, e.N, e.NP, cur);
  else for (i64 s = 0; s < S; s++)
    if (count[s]) gather(prev + s * e.N, places + s * e.N, count[s], e.rows, e.NP, cur + s * e.NP);
  for (i64 s = 0; s < S; s++) for (i64 m = 0; m < KINDS; m++) {
    const real* const __restrict x = e.x + t * e.XS + (b0 + s) * e.N + e.from[m];
    real* const __restrict c = cur + s * e.NP + e.at[m];
    const i64 n = e.n[m];
    #pragma omp simd
    for (i64 i = 0; i < n; i++) c[i] = x[i] + c[i];
  }
  return all;
}
template <bool KEEP> static void forward_tile(const Env& e, const i64 b0, const i64 S, real* const room) {
  const i64 NP = e.NP, T = e.T, bytes = S * e.N * (i64)sizeof(real), apart = T * e.B * NP;
  real* const state = room; real* const cur = state + S * FIELDS * NP; real* const ys = cur + S * NP;
  int32_t* const places = (int32_t*)(ys + NP);
  std::memset(room, 0, sizeof(real) * (size_t)(S * (FIELDS + 1) * NP + NP));
  take_fields(e, e.first, b0, S, state);
  i64 all = 0;
  for (i64 t = 0; t < T; t++) {
    if (t + AHEAD < T) ahead(e.x + (t + AHEAD) * e.XS + b0 * e.N, bytes);
    if (FIELDS && e.mark[0] && t && t % e.K == 0) give_fields(e, state, (t / e.K - 1) * e.B + b0, S, e.mark);
    all += currents(e, t, b0, S, cur, places);
    for (i64 s = 0; s < S; s++) {
      step<KEEP>(e, cur + s * NP, state + s * FIELDS * NP, ys, e.kept + (t * e.B + b0 + s) * NP, apart);
      give(e, ys, e.y + (t * e.B + b0 + s) * e.N);
    }
  }
  give_fields(e, state, b0, S, e.last);
  e.counts[b0 / e.S] = all;
}
static i64 room_of(const Env& e, bool back) {
  const i64 S = e.S, NP = e.NP;
  i64 reals = S * (FIELDS + 1) * NP + NP + (S * e.N * 4 + (i64)sizeof(real) - 1) / (i64)sizeof(real);
  if (back) reals += S * (FIELDS + 2 + SUMS) * NP + (e.keep ? 0 : e.K * S * VALUES * NP) + (e.parts ? e.N * NP : 0);
  return (reals * (i64)sizeof(real) + 63) / 64 * 64;
}
extern "C" int snn4_recurrent(const i64* a) {
  const Env e = environment(a);
  const i64 tiles = (e.B + e.S - 1) / e.S;
  int failed = 0;
  #pragma omp parallel num_threads((int)e.threads) if(e.threads > 1)
  {
  real* const room = (real*)std::aligned_alloc(64, (size_t)room_of(e, false));
  if (!room) {
    #pragma omp atomic write
    failed = 1;
  }
  #pragma omp for schedule(static)
  for (i64 u = 0; u < tiles; u++) {
    if (!room) continue;
    const i64 b0 = u * e.S, S = std::min<i64>(e.S, e.B - b0);
    if (e.keep) forward_tile<true>(e, b0, S, room); else forward_tile<false>(e, b0, S, room);
  }
  std::free(room);
  }
  return failed;
}
static void backward_tile(const Env& e, const i64 b0, const i64 S, real* const room, real* const part) {
  const i64 NP = e.NP, N = e.N, T = e.T, K = e.K, row = (i64)sizeof(real) * NP;
  const i64 bytes = S * N * (i64)sizeof(real);
  real* const state = room; real* const cur = state + S * FIELDS * NP; real* const ys = cur + S * NP;
  real* const grads = ys + NP; real* const g = grads + S * FIELDS * NP; real* const back = g + S * NP;
  real* const sums = back + S * NP; real* const hist = sums + S * SUMS * NP;
  real* const own = hist + (e.keep ? 0 : K * S * VALUES * NP);
  int32_t* const places = (int32_t*)(own + (part ? N * NP : 0));
  std::memset(room, 0, (size_t)((hist - room) * (i64)sizeof(real)));
  take_fields(e, e.glast, b0, S, grads);
  for (i64 seg = (T + K - 1) / K - 1; seg >= 0; seg--) {
    const i64 t0 = seg * K, t1 = std::min<i64>(T, t0 + K);
    if (VALUES && !e.keep) {
      if (seg) take_fields(e, e.mark, (seg - 1) * e.B + b0, S, state);
      else take_fields(e, e.first, b0, S, state);
      for (i64 t = t0; t < t1; t++) {
        if (t + AHEAD < t1) ahead(e.x + (t + AHEAD) * e.XS + b0 * N, bytes);
        currents(e, t, b0, S, cur, places);
        for (i64 s = 0; s < S; s++)
          step<true>(e, cur + s * NP, state + s * FIELDS * NP, ys, hist + ((t - t0) * S + s) * VALUES * NP, NP);
      }
    }
    std::memset(sums, 0, (size_t)(S * SUMS * row));
    if (part) std::memset(own, 0, (size_t)(N * row));
    for (i64 t = t1 - 1; t >= t0; t--) {
      if (t >= AHEAD) ahead(e.gy + ((t - AHEAD) * e.B + b0) * N, bytes);
      for (i64 s = 0; s < S; s++) {
        const i64 place = (t * e.B + b0 + s) * N;
        for (i64 m = 0; m < KINDS; m++) {
          const real* const __restrict gy = e.gy + place + e.from[m];
          const real* const __restrict b = back + s * NP + e.at[m];
          real* const __restrict to = ys + e.at[m];
          const i64 n = e.n[m];
          #pragma omp simd
          for (i64 i = 0; i < n; i++) to[i] = gy[i] + b[i];
        }
        if (e.keep) derivative(e, e.kept + (t * e.B + b0 + s) * NP, T * e.B * NP, ys, grads + s * FIELDS * NP,
                               g + s * NP, sums + s * SUMS * NP);
        else derivative(e, hist + ((t - t0) * S + s) * VALUES * NP, NP, ys, grads + s * FIELDS * NP, g + s * NP,
                        sums + s * SUMS * NP);
        give(e, g + s * NP, e.gx + place);
      }
      const real* const prev = before(e, t, b0);
      if (part && prev) for (i64 s = 0; s < S; s++)
        scatter(prev + s * N, places, fired(prev + s * N, N, places), g + s * NP, NP, own);
      if (t || e.gstart) {
        std::memset(back, 0, (size_t)(S * row));
        for (i64 m = 0; m < KINDS; m++) multiply(g, NP, S, e.back, e.at[m], e.at[m] + e.n[m], NP, back);
      }
    }
    for (i64 s = 0; s < S; s++) for (i64 k = 0; k < SUMS; k++) {
      double* const to = e.sums + (k * e.B + b0 + s) * NP;
      const real* const from = sums + (s * SUMS + k) * NP;
      for (i64 i = 0; i < NP; i++) to[i] += (double)from[i];
    }
    if (part) for (i64 i = 0; i < N * NP; i++) part[i] += own[i];
  }
  give_fields(e, grads, b0, S, e.gfirst);
  if (e.gstart) for (i64 s = 0; s < S; s++) give(e, back + s * NP, e.gstart + (b0 + s) * N);
}
extern "C" int snn4_recurrent_backward(const i64* a) {
  const Env e = environment(a);
  const i64 tiles = (e.B + e.S - 1) / e.S;
  int failed = 0;
  #pragma omp parallel num_threads((int)e.threads) if(e.threads > 1)
  {
  real* const room = (real*)std::aligned_alloc(64, (size_t)room_of(e, true));
  if (!room) {
    #pragma omp atomic write
    failed = 1;
  }
  // the tiles of a group add to one part, in their order
  #pragma omp for schedule(static)
  for (i64 u = 0; u < e.G; u++) {
    if (!room) continue;
    for (i64 n = u * tiles / e.G; n < (u + 1) * tiles / e.G; n++) {
      const i64 b0 = n * e.S, S = std::min<i64>(e.S, e.B - b0);
      backward_tile(e, b0, S, room, e.parts ? e.parts + u * e.N * e.NP : nullptr);
    }
  }
  std::free(room);
  }
  return failed;
}
extern "C" int snn4_lanes() { return (int)LANES; }
"""
