/** From values to places: ticks, ranges, and as many points as there is room for. No canvas here. */

/** About `count` round numbers from `low` to `high`, both included where they are round. */
export function ticks(low, high, count) {
  const span = high - low;
  if (!(span > 0)) return [low];
  const rough = span / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, index) => Number(((first + index) * step).toPrecision(12)));
}

/**
 * [low, high] for an axis: all of `strong` and the middle of `faint`, with some air, so that one outlier of a single
 * step does not flatten the curves. Null when there is no value at all.
 */
export function range(strong, faint = []) {
  const sorted = faint.filter(Number.isFinite).sort((a, b) => a - b);
  const middle = sorted.slice(Math.floor(sorted.length * 0.02), Math.ceil(sorted.length * 0.98));
  const values = [...strong.filter(Number.isFinite), ...middle];
  if (values.length === 0) return null;
  const low = values.reduce((a, b) => Math.min(a, b));
  const high = values.reduce((a, b) => Math.max(a, b));
  const air = (high - low) * 0.08 || Math.abs(high) * 0.1 || 1;
  return [low >= 0 ? Math.max(0, low - air) : low - air, high + air];
}

/** The centred moving mean over a twentieth of the values (5 at least), as the report has it; nulls do not count. */
export function movingMean(values) {
  const half = Math.max(2, Math.floor(values.length / 40));
  const sums = [0];
  const counts = [0];
  values.forEach((value, index) => {
    const there = Number.isFinite(value);
    sums.push(sums[index] + (there ? value : 0));
    counts.push(counts[index] + (there ? 1 : 0));
  });
  return values.map((_, index) => {
    const first = Math.max(0, index - half);
    const last = Math.min(values.length, index + half + 1);
    const count = counts[last] - counts[first];
    return count ? (sums[last] - sums[first]) / count : null;
  });
}

/**
 * [x, y] pairs thinned to the least and the greatest of each of `columns` equal stretches, in their order.
 * Pairs without a finite y are left away.
 */
export function thinned(pairs, columns) {
  const finite = pairs.filter(([, y]) => Number.isFinite(y));
  if (finite.length <= 2 * columns) return finite;
  const kept = [];
  for (let column = 0; column < columns; column += 1) {
    const first = Math.floor((column * finite.length) / columns);
    const last = Math.floor(((column + 1) * finite.length) / columns);
    let [least, most] = [first, first];
    for (let index = first; index < last; index += 1) {
      if (finite[index][1] < finite[least][1]) least = index;
      if (finite[index][1] > finite[most][1]) most = index;
    }
    for (const index of new Set([Math.min(least, most), Math.max(least, most)])) kept.push(finite[index]);
  }
  return kept;
}

/** The index of the pair whose x is nearest; pairs are in the order of x. -1 when there are none. */
export function nearest(pairs, x) {
  let [low, high] = [0, pairs.length - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (pairs[middle][0] < x) low = middle;
    else high = middle;
  }
  if (high < 0) return -1;
  return Math.abs(pairs[low][0] - x) <= Math.abs(pairs[high][0] - x) ? low : high;
}
