import { describe, expect, test } from "vitest";

import { placeScores } from "../../../web/training/scores.js";
import { wordsOf } from "../../../web/training/words.js";

const SIZE = { width: 320, height: 96 };
const MEASURED = ["likeness", "bleed", "copy_risk", "background_leak", "drift"];
const METRICS = MEASURED.map((name) => ({ name, words: name, drawn: "scores" }));
const none = Object.fromEntries(MEASURED.map((name) => [name, null]));

function score(step, figures) {
  return { step, faces: 1, pictures: 2, ...none, ...figures };
}

describe("placeScores", () => {
  test("is nothing where nothing was measured", () => {
    expect(placeScores([], METRICS, SIZE)).toBeNull();
    expect(placeScores([score(0, {}), score(100, {})], METRICS, SIZE)).toBeNull();
  });

  test("has a dot for each step that has the figure, and no figure without one", () => {
    const placed = placeScores([score(0, { likeness: 0.2 }), score(100, {}), score(200, { likeness: 0.6 })], METRICS, SIZE);
    expect(placed.figures.map(({ metric }) => metric.name)).toEqual(["likeness"]);
    expect(placed.figures[0].dots).toHaveLength(2);
    expect(placed.figures[0].latest).toBe(0.6);
    expect(placed.last).toBe(200);
  });

  test("lies inside of the chart, later to the right and more above", () => {
    const placed = placeScores([score(0, { likeness: -0.1, bleed: 0 }), score(10, { likeness: 0.9, bleed: 0.1 })], METRICS, SIZE);
    const [first, second] = placed.figures[0].dots;
    expect(second[0]).toBeGreaterThan(first[0]);
    expect(second[1]).toBeLessThan(first[1]);
    for (const [x, y] of placed.figures.flatMap(({ dots }) => dots)) {
      expect(x).toBeGreaterThanOrEqual(0);
      expect(x).toBeLessThanOrEqual(SIZE.width);
      expect(y).toBeGreaterThanOrEqual(0);
      expect(y).toBeLessThanOrEqual(SIZE.height);
    }
  });

  test("shows zero, below which there is no leak", () => {
    const placed = placeScores([score(10, { bleed: 0.4 })], METRICS, SIZE);
    expect(placed.marks.map(([value]) => value)).toContain(0);
  });

  test("one step alone is a dot", () => {
    expect(placeScores([score(0, { drift: 0 })], METRICS, SIZE).figures[0].dots[0].every(Number.isFinite)).toBe(true);
  });
});

test("every figure has its word in every language", () => {
  for (const locale of ["en", "zh"]) {
    for (const name of MEASURED) expect(wordsOf(locale)[name]).toBeTruthy();
  }
});
