"""The C++ that finds the spikes: one pass over the sorted events of a sample, all neurons of a tile side by side."""

from __future__ import annotations

__all__ = ["FORWARD"]

# Between two events V rises concavely to at most one maximum and falls (where it can reach the threshold at all, that
# is, I > 0), so V(0) + h V'(0) is an upper bound that costs one multiply-add: the rare neurons whose bound or end value
# reaches the threshold go into a list, are examined exactly, and are solved together. Iterating on the local parabola
# converges cubically there and never passes the maximum: V''' > 0 while V rises, so a parabola's top lies before the
# true one.
FORWARD = r"""
static const i64 TILE = 512;
static const int ROUNDS = 60;

template <class R> struct Neurons {
  alignas(64) R potential[2][TILE], cur[TILE], bound[TILE], peak[TILE], when[TILE];
  alignas(64) R from[TILE], left[TILE], start[TILE], drive[TILE], end[TILE], top[TILE], s[TILE], rest[TILE];
  int32_t fired[TILE], list[TILE];
  R *v0, *v1;  // at the start and at the end of the segment
};

// first time in [0, top] at which each listed neuron, at `start` with current `drive`, reaches the threshold
template <class R> static inline void cross(Neurons<R>& n, i64 m, R a, R b, R theta) {
  // after a step the error is about its cube in units of the neuron's time scales, or of slope / curvature
  const R near = sizeof(R) == 4 ? R(1e-3) : R(1e-6), rate = a > b ? a : b;
  // a first step that counts the third derivative as well leaves its fourth power
  const R first = sizeof(R) == 4 ? R(2e-2) : R(3e-5);
  const i64 full = (m + lanes<R>() - 1) / lanes<R>() * lanes<R>();
  for (i64 q = m; q < full; q++) { n.start[q] = 0; n.drive[q] = 1; n.top[q] = 0; }
  R far = 0;
  #pragma omp simd reduction(max : far)
  for (i64 q = 0; q < full; q++) {
    const R c = n.drive[q], f = n.start[q] - theta, g = c - a * n.start[q], k = -b * c - a * g, j = b * b * c - a * k;
    const R inner = f_fma(g, g, R(-2) * f * k), root = std::sqrt(inner > R(0) ? inner : R(0));
    R s = R(-2) * f / (g + root);
    s = inner > R(0) ? s - j * s * s * s / (R(6) * (root + R(0.5) * j * s * s)) : -g / k;
    s = s > R(0) ? s : R(0);
    s = s < n.top[q] ? s : n.top[q];
    n.s[q] = s;
    const R rough = s * rate > first || s * -k > first * g ? R(1) : R(0);
    far = far > rough ? far : rough;
  }
  if (far == R(0)) return;
  for (int round = 0; round < ROUNDS; round++) {
    R moved = 0;
    #pragma omp simd reduction(max : moved)
    for (i64 q = 0; q < full; q++) {
      R dv, di, e, s = n.s[q];
      fall(s, a, b, dv, di, e);
      R c = n.drive[q] * di, f = f_fma(n.start[q], dv, n.drive[q] * e), g = f_fma(-a, f, c), k = -b * c - a * g;
      f -= theta;
      R inner = f_fma(g, g, R(-2) * f * k), root = std::sqrt(inner > R(0) ? inner : R(0));
      R parabola = R(-2) * f / (g + root), summit = -g / k, line = -f / g;
      R step = inner >= R(0) ? parabola : (summit > line ? summit : line);
      R next = s + step;
      next = next > R(0) ? next : R(0);
      next = next < n.top[q] ? next : n.top[q];
      const R size = next > s ? next - s : s - next;
      const R still = size * rate > near || size * -k > near * g ? R(1) : R(0);
      moved = moved > still ? moved : still;
      n.s[q] = next;
    }
    if (moved == R(0)) return;
  }
}

template <class R> struct Out { R *times, *current, *slope; uint8_t* truncated; i64 K; };

// all crossings, one after the other, of the m listed neurons in the segment [now, now + h]
template <class R> static inline void fire(
    Neurons<R>& n, i64 m, R now, R h, R di, R a, R b, R theta, const Out<R>& out) {
  const R below = theta * (R(1) - std::numeric_limits<R>::epsilon());
  for (i64 q = 0; q < m; q++) {
    const int32_t i = n.list[q];
    n.from[q] = 0; n.left[q] = h; n.start[q] = n.v0[i]; n.drive[q] = n.cur[i]; n.end[q] = n.v1[i]; n.rest[q] = di;
  }
  while (m) {
    i64 kept = 0;
    for (i64 q = 0; q < m; q++) {
      const int32_t i = n.list[q];
      const R v = n.start[q], c = n.drive[q], left = n.left[q], end = n.end[q];
      R top = left;
      bool crosses = c > a * v;
      if (crosses && !(end >= theta)) {
        crosses = false;
        if (c * n.rest[q] < a * end) {
          R dv, fallen, e;
          top = summit(v, c, a, b);
          top = top < left ? top : left;
          fall(top, a, b, dv, fallen, e);
          crosses = v * dv + c * e >= theta;
        }
      } else if (!crosses && end >= theta) {
        n.v1[i] = below;  // it falls: only rounding has carried it over
      }
      if (!crosses) continue;
      if (n.fired[i] == out.K) { out.truncated[i] = 1; n.v1[i] = std::numeric_limits<R>::quiet_NaN(); continue; }
      n.list[kept] = i; n.from[kept] = n.from[q]; n.left[kept] = left; n.start[kept] = v; n.drive[kept] = c;
      n.top[kept++] = top;
    }
    m = kept;
    cross(n, m, a, b, theta);
    const i64 full = (m + lanes<R>() - 1) / lanes<R>() * lanes<R>();
    #pragma omp simd
    for (i64 q = 0; q < full; q++) {
      R dv, fallen, e, s = n.s[q];
      R left = n.left[q] - s;
      R c = n.drive[q] * f_exp(-b * s);
      fall(left, a, b, dv, fallen, e);
      n.left[q] = left; n.from[q] += s; n.drive[q] = c; n.end[q] = c * e; n.rest[q] = fallen; n.start[q] = 0;
    }
    kept = 0;
    for (i64 q = 0; q < m; q++) {
      const int32_t i = n.list[q];
      const i64 at = (i64)i * out.K + n.fired[i]++;
      const R c = n.drive[q];
      out.times[at] = now + n.from[q]; out.current[at] = c; out.slope[at] = std::max(c - a * theta, R(0));
      n.v1[i] = n.end[q]; n.peak[i] = std::numeric_limits<R>::infinity();
      if (!(n.end[q] >= theta || c * n.left[q] >= theta)) continue;
      n.list[kept] = i; n.from[kept] = n.from[q]; n.left[kept] = n.left[q]; n.start[kept] = 0;
      n.drive[kept] = c; n.end[kept] = n.end[q]; n.rest[kept++] = n.rest[q];
    }
    m = kept;
  }
}

// the largest potential of neurons that have not fired, and when
template <class R> static inline void climb(Neurons<R>& n, i64 len, R now, R until, R h, R di, R a, R b) {
  const R* __restrict v0 = n.v0; const R* __restrict v1 = n.v1; const R* __restrict cur = n.cur;
  R* __restrict bound = n.bound; R* __restrict peak = n.peak; R* __restrict when = n.when;
  #pragma omp simd
  for (i64 i = 0; i < len; i++) {
    const R end = v1[i], best = peak[i], c = cur[i];
    const bool higher = end > best, inner = (c > a * v0[i]) & (c * di < a * end) & (bound[i] > best);
    peak[i] = higher ? end : best;
    when[i] = higher ? until : when[i];
    bound[i] = inner ? R(1) : R(0);
  }
  i64 m = 0;
  for (i64 base = 0; base < len; base += lanes<R>())
    for (uint32_t bits = reach(bound + base, R(1)); bits; bits &= bits - 1) {
      const i64 i = base + __builtin_ctz(bits);
      n.start[m] = v0[i]; n.drive[m] = cur[i]; n.list[m++] = (int32_t)i;
    }
  const i64 full = (m + lanes<R>() - 1) / lanes<R>() * lanes<R>();
  for (i64 q = m; q < full; q++) { n.start[q] = 0; n.drive[q] = 1; }
  #pragma omp simd
  for (i64 q = 0; q < full; q++) {
    R dv, fallen, e, s = summit(n.start[q], n.drive[q], a, b);
    s = s < h ? s : h;
    fall(s, a, b, dv, fallen, e);
    n.s[q] = s; n.top[q] = f_fma(n.start[q], dv, n.drive[q] * e);
  }
  for (i64 q = 0; q < m; q++) {
    const int32_t i = n.list[q];
    if (n.top[q] > peak[i]) { peak[i] = n.top[q]; when[i] = n.s[q] < h ? now + n.s[q] : until; }
  }
}

// sizes: B E N lanes K threads; constants a b theta window; t source weight; times current slope truncated peak when
template <class R> static int solve(const i64* p) {
  const i64 B = p[0], E = p[1], N = p[2], P = p[3], K = p[4], threads = p[5];
  const double* constants = (const double*)p[6];
  const R a = (R)constants[0], b = (R)constants[1], theta = (R)constants[2], window = (R)constants[3];
  const R* const t = (const R*)p[7]; const i64* const source = (const i64*)p[8]; const R* const weight = (const R*)p[9];
  R* const times = (R*)p[10]; R* const current = (R*)p[11]; R* const slope = (R*)p[12];
  uint8_t* const truncated = (uint8_t*)p[13]; R* const peak = (R*)p[14]; R* const when = (R*)p[15];
  const i64 tiles = (P + TILE - 1) / TILE;
  int failed = 0;
  #pragma omp parallel num_threads((int)threads) if(threads > 1)
  {
  Neurons<R>* const room = (Neurons<R>*)room_for<char>(sizeof(Neurons<R>));
  R* const falls = room_for<R>(4 * (E + 64));
  if (!room || !falls) {
    #pragma omp atomic write
    failed = 1;
  }
  #pragma omp for schedule(dynamic)
  for (i64 u = 0; u < B * tiles; u++) {
    if (!room || !falls) continue;
    Neurons<R>& n = *room;
    const i64 sample = u / tiles, i0 = (u % tiles) * TILE, len = std::min<i64>(TILE, P - i0);
    const i64 real = std::min<i64>(len, N - i0), first = sample * N + i0;
    const R* const ts = t + sample * E; const i64* const from = source + sample * E;
    const i64 count = inside(ts, E, window);
    R *const hs = falls, *const dvs = hs + E + 64, *const dis = dvs + E + 64, *const es = dis + E + 64;
    for (i64 e = 0; e < count; e++) hs[e] = (e + 1 < count ? ts[e + 1] : window) - ts[e];
    const i64 full = (count + lanes<R>() - 1) / lanes<R>() * lanes<R>();
    for (i64 e = count; e < full; e++) hs[e] = 0;
    #pragma omp simd
    for (i64 e = 0; e < full; e++) fall(hs[e], a, b, dvs[e], dis[e], es[e]);
    const Out<R> out = {times + first * K, current + first * K, slope + first * K, truncated + first, K};
    std::fill(out.times, out.times + real * K, std::numeric_limits<R>::infinity());
    std::fill(out.current, out.current + real * K, R(0)); std::fill(out.slope, out.slope + real * K, R(1));
    std::memset(out.truncated, 0, (size_t)real);
    n.v0 = n.potential[0]; n.v1 = n.potential[1];
    std::memset(n.potential, 0, sizeof(n.potential)); std::memset(n.cur, 0, sizeof(n.cur));
    std::memset(n.fired, 0, sizeof(n.fired)); std::memset(n.peak, 0, sizeof(n.peak));
    std::memset(n.when, 0, sizeof(n.when));
    R before = 1;
    for (i64 e = 0; e < count; e++) {
      const R* __restrict row = weight + from[e] * P + i0;
      R* __restrict cur = n.cur; const R* __restrict v0 = n.v0;
      R* __restrict v1 = n.v1; R* __restrict bound = n.bound;
      const R h = hs[e], dv = dvs[e], di = dis[e], rise = es[e], flat = R(1) - a * h;
      if (!(h > R(0))) {  // the next event comes at the same time
        #pragma omp simd
        for (i64 i = 0; i < len; i++) cur[i] = f_fma(cur[i], before, row[i]);
        before = 1;
        continue;
      }
      #pragma omp simd
      for (i64 i = 0; i < len; i++) {
        const R c = f_fma(cur[i], before, row[i]), v = v0[i];
        const R end = f_fma(v, dv, c * rise), most = f_fma(v, flat, c * h);
        cur[i] = c; v1[i] = end; bound[i] = end > most ? end : most;
      }
      before = di;
      i64 m = 0;
      for (i64 base = 0; base < len; base += lanes<R>())
        for (uint32_t bits = reach(bound + base, theta); bits; bits &= bits - 1)
          n.list[m++] = (int32_t)(base + __builtin_ctz(bits));
      if (m) fire(n, m, ts[e], h, di, a, b, theta, out);
      if (peak) climb(n, len, ts[e], e + 1 < count ? ts[e + 1] : window, h, di, a, b);
      std::swap(n.v0, n.v1);
    }
    if (peak) for (i64 i = 0; i < real; i++) {
      const bool silent = n.fired[i] == 0;
      peak[first + i] = silent ? n.peak[i] : theta; when[first + i] = silent ? n.when[i] : out.times[i * K];
    }
  }
  std::free(room); std::free(falls);
  }
  return failed;
}
"""
