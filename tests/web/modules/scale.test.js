import { describe, expect, test } from "vitest";

import { movingMean, nearest, range, thinned, ticks } from "../../../web/training/scale.js";

describe("ticks", () => {
  test("are round and within", () => {
    expect(ticks(0, 1000, 5)).toEqual([0, 200, 400, 600, 800, 1000]);
    expect(ticks(0.12, 0.31, 4)).toEqual([0.15, 0.2, 0.25, 0.3]);
    expect(ticks(0, 3e-5, 3)).toEqual([0, 1e-5, 2e-5, 3e-5]);
  });

  test("one of nothing to divide", () => {
    expect(ticks(2, 2, 5)).toEqual([2]);
  });
});

describe("range", () => {
  test("has air around all strong values and does not go below zero", () => {
    const [low, high] = range([0.01, 1]);
    expect(low).toBe(0);
    expect(high).toBeGreaterThan(1);
    expect(high).toBeLessThan(1.2);
  });

  test("an outlier of a single step does not flatten the rest", () => {
    const steps = Array.from({ length: 200 }, () => 0.5);
    steps[100] = 1000;
    expect(range([0.4, 0.6], steps)[1]).toBeLessThan(1);
  });

  test("of one constant value is not empty", () => {
    const [low, high] = range([0.3, 0.3]);
    expect(low).toBeLessThan(0.3);
    expect(high).toBeGreaterThan(0.3);
    expect(range([0, 0])[1]).toBeGreaterThan(0);
  });

  test("passes over what is not finite, and knows when nothing is left", () => {
    expect(range([NaN, Infinity, null], [undefined])).toBeNull();
    expect(range([NaN, 2])[1]).toBeGreaterThan(2);
  });
});

describe("movingMean", () => {
  test("is the mean of two on either side of a short series", () => {
    expect(movingMean([0, 0, 5, 0, 0])).toEqual([5 / 3, 1.25, 1, 1.25, 5 / 3]);
  });

  test("passes over gaps", () => {
    expect(movingMean([1, null, 3])).toEqual([2, 2, 2]);
    expect(movingMean([null, null])).toEqual([null, null]);
  });

  test("covers a twentieth of a long series", () => {
    const values = Array.from({ length: 400 }, (_, index) => (index === 200 ? 1 : 0));
    const touched = movingMean(values).filter((value) => value > 0);
    expect(touched).toHaveLength(21);
  });
});

describe("thinned", () => {
  test("leaves a short series as it is, without the gaps", () => {
    expect(thinned([[1, 1], [2, null], [3, NaN], [4, 2]], 10)).toEqual([[1, 1], [4, 2]]);
  });

  test("keeps the extremes in their order", () => {
    const pairs = Array.from({ length: 10_000 }, (_, index) => [index, Math.sin(index / 50)]);
    pairs[777][1] = 99;
    pairs[778][1] = -99;
    const kept = thinned(pairs, 100);
    expect(kept.length).toBeLessThanOrEqual(200);
    expect(kept).toContainEqual([777, 99]);
    expect(kept).toContainEqual([778, -99]);
    expect(kept.map(([x]) => x)).toEqual(kept.map(([x]) => x).sort((a, b) => a - b));
  });
});

test("nearest finds the closest x, at the ends as well", () => {
  const pairs = [[0], [10], [20]];
  expect([-5, 4, 6, 14, 16, 99].map((x) => nearest(pairs, x))).toEqual([0, 0, 1, 1, 2, 2]);
  expect(nearest([[7]], 0)).toBe(0);
  expect(nearest([], 0)).toBe(-1);
});
