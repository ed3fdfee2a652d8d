import { describe, expect, test } from "vitest";

import { curvesOf, drawnAs, drawRun, lastAt } from "../../../web/training/chart.js";
import { wordsOf } from "../../../web/training/words.js";

const metric = (name, drawn, averaged = false) => ({ name, words: `${name} of the server`, drawn, averaged });
const METRICS = [
  metric("loss", "chart"),
  metric("coverage", "strip", true),
  metric("learning_rate", "strip"),
  metric("inside", "chart", true),
  metric("outside", "chart", true),
  metric("prior", "strip", true),
  metric("validation", "chart"),
  metric("likeness", "scores"),
];
const COLUMNS = ["step", "loss", "inside", "outside", "smoothed", "validation", "learning_rate", "coverage", "prior"];
const NAMES = METRICS.filter(({ drawn }) => drawn !== "scores").map(({ name }) => name);
const COLOURS = { text: "t", faint: "f", line: "l", ...Object.fromEntries(NAMES.map((name) => [name, name])) };
const SIZE = { width: 300, height: 200 };

/** Writes down what is drawn: every stroke with its style and its places, every text. */
class Notes {
  strokes = [];
  texts = [];
  dots = [];
  #saved = [];
  beginPath = () => (this.path = []);
  moveTo = (x, y) => this.path.push([x, y]);
  lineTo = (x, y) => this.path.push([x, y]);
  rect = () => undefined;
  clip = () => undefined;
  clearRect = () => undefined;
  setLineDash = () => undefined;
  arc = (x, y) => this.dots.push([this.fillStyle, x, y]);
  fill = () => undefined;
  stroke = () => this.strokes.push({ colour: this.strokeStyle, width: this.lineWidth, path: this.path });
  fillText = (text) => this.texts.push(text);
  measureText = (text) => ({ width: 6 * text.length });
  save = () => this.#saved.push([this.lineWidth, this.globalAlpha]);
  restore = () => ([this.lineWidth, this.globalAlpha] = this.#saved.pop());
}

const POINTS = [
  [0, null, null, null, null, 0.9, null, null, null],
  [1, 0.5, 0.4, 0.6, 0.5, null, 1e-4, 0.25, 0.01],
  [2, 0.3, 0.2, null, 0.45, 0.8, 1e-4, 0.25, 0.03],
];

const runOf = (points, more = {}) => ({ columns: COLUMNS, metrics: METRICS, points, ...more });

function draw(points, more = {}, run = {}) {
  const notes = new Notes();
  const options = { colours: COLOURS, words: wordsOf("en"), locale: "en", hidden: new Set(), at: null, ...more };
  const step = drawRun(notes, SIZE, curvesOf(runOf(points, run)), points.at(-1)?.[0] ?? 0, options);
  const drawn = new Set([...notes.strokes.map(({ colour }) => colour), ...notes.dots.map(([colour]) => colour)]);
  return { notes, step, drawn };
}

function pathOf(name, notes) {
  return notes.strokes.find(({ colour, width }) => colour === name && width > 1).path;
}

describe("curvesOf", () => {
  test("has no point where a step has no value", () => {
    const curves = curvesOf(runOf(POINTS));
    expect(curves.loss.raw).toEqual([[1, 0.5], [2, 0.3]]);
    expect(curves.loss.strong).toEqual([[1, 0.5], [2, 0.45]]);
    expect(curves.outside.strong).toEqual([[1, 0.6]]);
    expect(curves.validation.strong).toEqual([[0, 0.9], [2, 0.8]]);
  });

  test("means inside and outside, not the evaluations", () => {
    expect(curvesOf(runOf(POINTS)).inside.strong[0][1]).toBeCloseTo(0.3);
  });
});

describe("drawRun", () => {
  test("draws every curve in its colour, learning rate, coverage and drift in strips with their values", () => {
    const { notes, drawn } = draw(POINTS);
    expect(NAMES.filter((name) => !drawn.has(name))).toEqual([]);
    expect(notes.texts).toContain("learning rate 1e-4");
    expect(notes.texts).toContain("coverage 0.25");
    expect(notes.texts).toContain("drift (prior) 0.02");
  });

  test("draws a figure that it has never heard of, by the server's word", () => {
    const metrics = [...METRICS, metric("weight_norm", "strip")];
    const columns = [...COLUMNS, "weight_norm"];
    const points = POINTS.map((point) => [...point, point[0] || null]);
    const colours = { ...COLOURS, weight_norm: "new" };
    const { notes, drawn } = draw(points, { colours }, { columns, metrics });
    expect(drawn.has("new")).toBe(true);
    expect(notes.texts).toContain("weight_norm of the server 2");
  });

  test("has no strip for prior preservation that never acted", () => {
    const { notes, drawn } = draw(POINTS.map((point) => [...point.slice(0, -1), null]));
    expect(drawn.has("prior")).toBe(false);
    expect(notes.texts.join()).not.toContain("drift");
  });

  test("the steps that are done take the whole width", () => {
    const { notes } = draw(POINTS);
    const path = pathOf("validation", notes);
    const axis = notes.strokes.find(({ colour }) => colour === "l").path;
    const [left, right] = axis.map(([x]) => x);
    expect(path[0][0]).toBeCloseTo(left);
    expect(path[1][0]).toBeCloseTo(right);
    expect(path[0][1]).toBeLessThan(path[1][1]);
  });

  test("leaves away what is hidden, and makes room for the rest", () => {
    expect(draw(POINTS, { hidden: new Set(["inside"]) }).drawn.has("inside")).toBe(false);
    const all = pathOf("validation", draw(POINTS).notes);
    const hidden = new Set(["loss", "inside", "outside"]);
    const alone = pathOf("validation", draw(POINTS, { hidden }).notes);
    expect(alone[1][1] - alone[0][1]).toBeGreaterThan(all[1][1] - all[0][1]);
  });

  test("tells the step under the pointer and marks its values", () => {
    const { notes, step } = draw(POINTS, { at: 280 });
    expect(step).toBe(2);
    expect(notes.dots.some(([colour]) => colour === "inside")).toBe(true);
    expect(draw(POINTS, { at: 1 }).step).toBeNull();
  });

  test("draws a run of which nothing is known yet", () => {
    const { step, drawn } = draw([], { at: 150 });
    expect(step).toBeNull();
    expect([...drawn]).toEqual(["l"]);
  });

  test("numbers stay finite when a loss is not", () => {
    const points = [[1, Infinity, null, null, NaN, null, 1e-4, null], [2, 0.5, null, null, 0.5, null, 1e-4, null]];
    const { notes } = draw(points);
    expect(notes.strokes.flatMap(({ path }) => path).flat().every(Number.isFinite)).toBe(true);
  });
});

test("drawnAs is nothing for a run of which nothing is known", () => {
  expect(drawnAs(null, "chart")).toEqual([]);
  expect(drawnAs(runOf([]), "scores").map(({ name }) => name)).toEqual(["likeness"]);
});

test("lastAt is the value at a step or before it", () => {
  const pairs = [[2, 0.5], [10, 0.4]];
  expect([2, 7, 10, 11].map((step) => lastAt(pairs, step)[1])).toEqual([0.5, 0.5, 0.4, 0.4]);
  expect(lastAt(pairs, 1)).toBeUndefined();
  expect(lastAt([], 1)).toBeUndefined();
});
