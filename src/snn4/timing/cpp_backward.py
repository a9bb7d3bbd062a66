"""The C++ of the adjoint: backwards through the events, gradients of times, weights and constants."""

from __future__ import annotations

__all__ = ["BACKWARD"]

# With c_k = delta_k / V'_k, the gradients at an event at t are sums over the later spikes, X = sum c e(t_k - t) and
# Q = sum c exp(-b (t_k - t)): dL/dw = -X and dL/dt = w (Q - a X). Backwards in time they follow the neuron's own
# recursion, X <- dv X + e Q, Q <- di Q, in every case of the constants. The time constants need three more sums of the
# same kind. A strip of neurons goes through the samples of a group in order, so that its part of the weight's gradient
# stays in the cache and the sum does not depend on the number of threads.
BACKWARD = r"""
static const i64 STRIP = 128, FALLS = 6;

template <class R> struct Sums { alignas(64) R x[STRIP], q[STRIP], r[STRIP], u[STRIP], s[STRIP]; };

// the spikes of a strip in one sample, ordered by the event they follow: time since then, amount, neuron; the maxima of
// silent neurons count as spikes. Those that stand at an event, whose time moves them, are also chained by event.
template <class R> struct Spikes {
  i64 m, last, kinks;
  R *s, *c, *since, *amount, *x, *q, *r, *u, *t;
  int32_t *lane, *event, *neuron, *first, *chain, *next;
};

// as many equal intervals of time as events, so that few events share one
template <class R> struct Buckets {
  R begin, scale; i64 count;
  Buckets(const R* ts, i64 n) : begin(n ? ts[0] : R(0)), count(n) {
    const R span = n ? ts[n - 1] - begin : R(0);
    scale = span > R(0) ? std::min((R)n / span, std::numeric_limits<R>::max()) : R(0);
  }
  i64 operator()(R at) const {
    const R x = (at - begin) * scale;
    return x < R(0) ? 0 : x < (R)count ? (i64)x : count - 1;
  }
};

// delta of every spike, from a neuron's last to its first; the part of the constants that own spikes carry
template <class R> static inline void deltas(
    Spikes<R>& k, const R* ts, i64 count, i64 real, i64 K, const R* times, const R* slope, const R* grad,
    const R* when, const R* peak, R a, R theta, const int32_t* index, double* constants) {
  k.m = 0; k.last = -1; k.kinks = 0;
  double by_threshold = 0, by_tau = 0;
  std::fill(k.first, k.first + count + 1, 0); std::fill(k.chain, k.chain + count + 1, -1);
  const Buckets<R> buckets(ts, count);
  const auto put = [&](R at, R c, i64 lane) {
    if (!count || c == R(0)) return (i64)-1;
    // only events before the spike act on it
    const i64 x = buckets(at), from = index[x], e = from + before(ts + from, index[x + 1] - from, at) - 1;
    if (e < 0) return (i64)-1;
    k.since[k.m] = at - ts[e]; k.amount[k.m] = c; k.lane[k.m] = (int32_t)lane; k.event[k.m++] = (int32_t)e;
    k.first[e + 1]++;
    k.last = e > k.last ? e : k.last;
    return e;
  };
  for (i64 i = 0; i < real; i++) {
    const R *row = times + i * K, *g = grad + i * K, *v = slope + i * K;
    i64 n = 0;
    while (n < K && row[n] < std::numeric_limits<R>::infinity()) n++;
    R later = 0, moment = 0;
    for (i64 j = n - 1; j >= 0; j--) {
      if (j + 1 < n) {
        const R h = row[j + 1] - row[j], fallen = f_exp(-a * h);
        moment = (moment + h * later) * fallen; later *= fallen;
      }
      const R c = (g[j] + theta * a * later) / v[j];
      by_threshold += (double)c + (double)later; by_tau += (double)moment;
      put(row[j], c, i);
      later += c;
    }
    if (!peak || n) continue;
    const i64 e = put(when[i], -peak[i], i) + 1;
    if (e > 0 && e < count && ts[e] == when[i]) { k.next[i] = k.chain[e]; k.chain[e] = (int32_t)i; k.kinks++; }
  }
  if (by_tau != 0) constants[0] += (double)theta * by_tau;
  constants[2] += by_threshold;
  for (i64 e = 0; e < count; e++) k.first[e + 1] += k.first[e];
  for (i64 j = 0; j < k.m; j++) {
    const i64 to = k.first[k.event[j]]++;
    k.s[to] = k.since[j]; k.c[to] = k.amount[j]; k.neuron[to] = k.lane[j];
  }
}

// a maximum at the time of an event moves with it along the slope before: the event that ends the rise, or several
// together, by their weights
template <class R> static inline void kinks(
    const Spikes<R>& k, i64 len, const R* ts, const i64* from, i64 count, const R* weight, i64 P, const R* falls,
    R a, const R* grad, const R* v_max, R* current, R* gt) {
  std::fill(current, current + len, R(0));
  for (i64 e = 0; e < count; e++) {
    if (e) {
      const R di = falls[(e - 1) * FALLS + 1];
      #pragma omp simd
      for (i64 i = 0; i < len; i++) current[i] *= di;
    }
    for (int32_t i = k.chain[e]; i >= 0; i = k.next[i]) {
      R jump = 0;
      for (i64 f = e; f < count && ts[f] == ts[e]; f++) jump += weight[from[f] * P + i];
      const R share = grad[i] * (current[i] - a * v_max[i]) / jump;
      for (i64 f = e; f < count && ts[f] == ts[e]; f++) gt[f] += share * weight[from[f] * P + i];
    }
    const R* __restrict row = weight + from[e] * P;
    #pragma omp simd
    for (i64 i = 0; i < len; i++) current[i] += row[i];
  }
}

// one event: its gradients, then the sums one segment further back
template <class R, bool TIME, bool TAU> static inline void step(
    Sums<R>& sums, i64 len, const R* __restrict row, R* __restrict gw, R a, const R* fell, R& by_time, R& by_v,
    R& by_i) {
  const R dv = fell[0], di = fell[1], e = fell[2], h = fell[3], er = fell[4], es = fell[5];
  R* __restrict X = sums.x; R* __restrict Q = sums.q;
  R* __restrict X2 = sums.r; R* __restrict Q2 = sums.u; R* __restrict S = sums.s;
  R dot = 0, dot_v = 0, dot_i = 0;
  #pragma omp simd reduction(+ : dot, dot_v, dot_i)
  for (i64 i = 0; i < len; i++) {
    const R x = X[i], q = Q[i];
    gw[i] -= x;
    if (TIME) dot += row[i] * f_fma(-a, x, q);
    X[i] = f_fma(x, dv, q * e); Q[i] = q * di;
    if (TAU) {
      const R r = X2[i], u = Q2[i], s = S[i];
      dot_v += row[i] * r; dot_i += row[i] * s;
      X2[i] = r * dv + x * h * dv + q * er; S[i] = s * dv + u * e + q * es; Q2[i] = (u + q * h) * di;
    }
  }
  by_time = dot; by_v = dot_v; by_i = dot_i;
}

struct Adjoint { i64 B, E, N, P, K, inputs, groups, strips; double a, b, theta, window; };

template <class R, bool TIME, bool TAU> static bool strip(
    const Adjoint& d, const i64* p, i64 s, i64 group, const R* falls, const int32_t* index,
    double* parts) {
  double constants[3] = {0, 0, 0};
  const i64 E = d.E, N = d.N, P = d.P, K = d.K, i0 = s * STRIP, len = std::min<i64>(STRIP, P - i0);
  const i64 real = std::min<i64>(len, N - i0), most = real * (K + 1) + 16;
  const R a = (R)d.a, b = (R)d.b;
  const R* const t = (const R*)p[9]; const i64* const source = (const i64*)p[10];
  const R* const weight = (const R*)p[11] + i0; const R* const times = (const R*)p[12];
  const R* const slope = (const R*)p[13]; const R* const grad = (const R*)p[14]; const R* const when = (const R*)p[15];
  const R* const v_max = (const R*)p[16]; const R* const peak = (const R*)p[17];
  R* const gt = (R*)p[18] + s * d.B * E; R* const gw = (R*)p[19] + (group * d.strips + s) * d.inputs * STRIP;
  R* const reals = room_for<R>(9 * most); int32_t* const ints = room_for<int32_t>(3 * most + 2 * (E + 2) + STRIP);
  Sums<R>* const sums = (Sums<R>*)room_for<char>(sizeof(Sums<R>));
  const bool good = reals && ints && sums;
  const auto real_row = [&](i64 n) { return reals + n * most; };
  Spikes<R> k = {0, 0, 0, real_row(0), real_row(1), real_row(2), real_row(3), real_row(4), real_row(5), real_row(6),
                 real_row(7), real_row(8), ints, ints + most, ints + 2 * most, ints + 3 * most, ints + 3 * most + E + 2,
                 ints + 3 * most + 2 * (E + 2)};
  for (i64 n = group * d.B / d.groups; good && n < (group + 1) * d.B / d.groups; n++) {
    const R* const ts = t + n * E; const i64* const from = source + n * E; const R* const fell = falls + n * E * FALLS;
    const i64 count = inside(ts, E, (R)d.window), at = n * N + i0;
    deltas(k, ts, count, real, K, times + at * K, slope + at * K, grad + at * K, peak ? when + at : nullptr,
           peak ? peak + at : nullptr, a, (R)d.theta, index + n * (E + 2), constants);
    if (TIME) std::fill(gt + n * E, gt + (n + 1) * E, R(0));
    if (!k.m) continue;
    const i64 full = (k.m + lanes<R>() - 1) / lanes<R>() * lanes<R>();
    for (i64 j = k.m; j < full; j++) k.s[j] = k.c[j] = 0;
    #pragma omp simd
    for (i64 j = 0; j < full; j++) {
      R dv, di, e, h = k.s[j], c = k.c[j];
      fall(h, a, b, dv, di, e);
      k.x[j] = c * e; k.q[j] = c * di;
      if (TAU) { k.r[j] = c * twice(h, a, b, dv, di, e); k.t[j] = c * twice(h, b, a, di, dv, e); k.u[j] = c * h * di; }
    }
    std::memset(sums, 0, sizeof(*sums));
    i64 j = k.m;
    for (i64 e = k.last; e >= 0; e--) {
      for (const i64 until = e ? k.first[e - 1] : 0; j > until; ) {
        const i64 i = k.neuron[--j];
        sums->x[i] += k.x[j]; sums->q[i] += k.q[j];
        if (TAU) { sums->r[i] += k.r[j]; sums->s[i] += k.t[j]; sums->u[i] += k.u[j]; }
      }
      R by_time, by_v, by_i;
      step<R, TIME, TAU>(*sums, len, weight + from[e] * P, gw + from[e] * STRIP, a, e ? fell + (e - 1) * FALLS : fell,
                         by_time, by_v, by_i);
      if (TIME) gt[n * E + e] = by_time;
      if (TAU) { constants[0] -= (double)by_v; constants[1] -= (double)by_i; }
    }
    if (TIME && k.kinks)
      kinks(k, len, ts, from, count, weight, P, fell, a, peak + at, v_max + at, sums->x, gt + n * E);
  }
  std::copy(constants, constants + 3, parts);
  std::free(reals); std::free(ints); std::free(sums);
  return good;
}

// sizes: B E N lanes K threads inputs groups; constants a b theta window; t source weight; times slope; grad; when and
// what was largest, and its gradient; gradients of times (per strip), weights and constants (per group and strip);
// what is wanted: times, time constants
template <class R> static int adjoint(const i64* p) {
  const double* c = (const double*)p[8];
  const i64 threads = p[5];
  const Adjoint d = {p[0], p[1], p[2], p[3], p[4], p[6], p[7], (p[3] + STRIP - 1) / STRIP, c[0], c[1], c[2], c[3]};
  const R* const t = (const R*)p[9]; double* const constants = (double*)p[20];
  const bool time = p[21], tau = p[22];
  R* const falls = room_for<R>(FALLS * (d.B * d.E + 1));
  int32_t* const index = room_for<int32_t>(d.B * (d.E + 2));
  if (!falls || !index) { std::free(falls); std::free(index); return 1; }
  int failed = 0;
  #pragma omp parallel num_threads((int)threads) if(threads > 1)
  {
  #pragma omp for schedule(static)
  for (i64 n = 0; n < d.B; n++) {
    const R* const ts = t + n * d.E; R* const row = falls + n * d.E * FALLS; const R a = (R)d.a, b = (R)d.b;
    const i64 count = inside(ts, d.E, (R)d.window);
    #pragma omp simd
    for (i64 e = 0; e < count - 1; e++) {
      R dv, di, rise; const R h = ts[e + 1] - ts[e];
      fall(h, a, b, dv, di, rise);
      R* const to = row + e * FALLS;
      to[0] = dv; to[1] = di; to[2] = rise; to[3] = h;
    }
    if (tau) for (i64 e = 0; e < count - 1; e++) {
      R* const to = row + e * FALLS;
      to[4] = twice(to[3], a, b, to[0], to[1], to[2]); to[5] = twice(to[3], b, a, to[1], to[0], to[2]);
    }
    if (count == 1) std::fill(row, row + FALLS, R(0));
    // where the events of each interval begin
    const Buckets<R> buckets(ts, count);
    int32_t* const starts = index + n * (d.E + 2);
    i64 x = 0;
    for (i64 e = 0; e < count; e++) for (const i64 to = buckets(ts[e]); x <= to; x++) starts[x] = (int32_t)e;
    for (; x <= count + 1; x++) starts[x] = (int32_t)count;
  }
  #pragma omp for schedule(dynamic)
  for (i64 u = 0; u < d.strips * d.groups; u++) {
    const i64 s = u % d.strips, group = u / d.strips;
    double* const part = constants + u * 3;
    const bool good = tau ? strip<R, true, true>(d, p, s, group, falls, index, part)
        : time ? strip<R, true, false>(d, p, s, group, falls, index, part)
        : strip<R, false, false>(d, p, s, group, falls, index, part);
    if (!good) {
      #pragma omp atomic write
      failed = 1;
    }
  }
  }
  std::free(falls); std::free(index);
  return failed;
}
"""
