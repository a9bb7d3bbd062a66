"""The C++ that brings the spikes of a layer into the order of time, and gradients back to where they came from."""

from __future__ import annotations

__all__ = ["EVENTS"]

# Times spread over the window, so that as many buckets as spikes hold about one each: linear, and stable. A crowded
# bucket is sorted by the library.
EVENTS = r"""
// sizes: B N K threads; window; times; counts. How many spikes of each sample lie in the window
template <class R> static int count_events(const i64* p) {
  const i64 B = p[0], N = p[1], K = p[2], threads = p[3];
  const R window = (R)*(const double*)p[4], *const times = (const R*)p[5];
  i64* const counts = (i64*)p[6];
  #pragma omp parallel for schedule(static) num_threads((int)threads) if(threads > 1)
  for (i64 n = 0; n < B; n++) {
    const R* const row = times + n * N * K;
    i64 count = 0;
    if (K == 1) for (i64 i = 0; i < N; i++) count += row[i] < window;
    else for (i64 i = 0; i < N; i++) for (i64 k = 0; k < K && row[i * K + k] < window; k++) count++;
    counts[n] = count;
  }
  return 0;
}
template <class R> struct Event { R t; int32_t at; };

// sizes: B N K threads E; window; times; counts; t source order
template <class R> static int sort_events(const i64* p) {
  const i64 B = p[0], N = p[1], K = p[2], threads = p[3], E = p[4];
  const R window = (R)*(const double*)p[5], *const times = (const R*)p[6];
  const i64* const counts = (const i64*)p[7];
  R* const t = (R*)p[8]; i64* const source = (i64*)p[9]; i64* const order = (i64*)p[10];
  int failed = 0;
  #pragma omp parallel num_threads((int)threads) if(threads > 1)
  {
  Event<R>* const found = room_for<Event<R>>(2 * (E + 1));
  int32_t* const first = room_for<int32_t>(E + 2);
  if (!found || !first) {
    #pragma omp atomic write
    failed = 1;
  }
  #pragma omp for schedule(dynamic, 4)
  for (i64 n = 0; n < B; n++) {
    if (!found || !first) continue;
    const R* const row = times + n * N * K;
    const i64 m = counts[n];
    const R scale = (R)m / window;
    Event<R>* const sorted = found + E + 1;
    std::fill(first, first + m + 2, 0);
    const auto bucket = [&](R at) { const i64 x = (i64)(at * scale); return x < 0 ? 0 : x < m ? x : m - 1; };
    i64 j = 0;
    for (i64 i = 0; i < N; i++) for (i64 k = i * K; k < (i + 1) * K && row[k] < window; k++) {
      found[j].t = row[k]; found[j++].at = (int32_t)k; first[bucket(row[k]) + 2]++;
    }
    for (i64 x = 2; x < m + 2; x++) first[x] += first[x - 1];
    for (j = 0; j < m; j++) sorted[first[bucket(found[j].t) + 1]++] = found[j];
    for (i64 x = 0; x < m; x++) {
      Event<R> *const low = sorted + first[x], *const high = sorted + first[x + 1];
      if (high - low > 16) {
        std::stable_sort(low, high, [](const Event<R>& a, const Event<R>& b) { return a.t < b.t; });
      } else for (Event<R>* at = low + 1; at < high; at++) {
        const Event<R> one = *at; Event<R>* to = at;
        for (; to > low && to[-1].t > one.t; to--) *to = to[-1];
        *to = one;
      }
    }
    for (j = 0; j < m; j++) {
      t[n * E + j] = sorted[j].t; order[n * E + j] = sorted[j].at; source[n * E + j] = sorted[j].at / K;
    }
    for (; j < E; j++) { t[n * E + j] = std::numeric_limits<R>::infinity(); order[n * E + j] = source[n * E + j] = 0; }
  }
  std::free(found); std::free(first);
  }
  return failed;
}
// sizes: B M threads E; counts; order; gradient of t; gradient of times
template <class R> static int spread_events(const i64* p) {
  const i64 B = p[0], M = p[1], threads = p[2], E = p[3];
  const i64 *const counts = (const i64*)p[4], *const order = (const i64*)p[5];
  const R* const grad = (const R*)p[6]; R* const out = (R*)p[7];
  #pragma omp parallel for schedule(static) num_threads((int)threads) if(threads > 1)
  for (i64 n = 0; n < B; n++) {
    std::memset(out + n * M, 0, sizeof(R) * (size_t)M);
    for (i64 e = 0; e < counts[n]; e++) out[n * M + order[n * E + e]] = grad[n * E + e];
  }
  return 0;
}
"""
