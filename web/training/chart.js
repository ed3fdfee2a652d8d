/** The curves of a run on a canvas: the losses above, other figures as strips below them. */

import { STEP } from "./series.js";
import { movingMean, nearest, range, thinned, ticks } from "./scale.js";
import { inDigits, inThousands, wordOf } from "./words.js";

const LETTERS_PX = 10;
const STRIP_PX = { label: 13, curve: 15, gap: 4 };
const MARGIN = { top: 6, right: 8, bottom: 18 };
const FONT = "Inter, system-ui, sans-serif";
const LEAST_PX_BETWEEN_DOTS = 8;
/** The strong line of a curve, which is a mean, and the faint one of single steps. */
const STRONG = { width: 1.75, alpha: 1 };
const FAINT = { width: 1, alpha: 0.25 };

/** The figures of a run that are drawn in the chart of losses ("chart"), below it ("strip"), or as "scores". */
export function drawnAs(run, kind) {
  return (run?.metrics ?? []).filter(({ drawn }) => drawn === kind);
}

/**
 * What is drawn of a run's points, by the name of the figure: {metric, raw, strong}, with [step, value] pairs; `dots`
 * where each value counts. Single steps are drawn of the loss alone: three such bands over each other can not be told
 * apart.
 */
export function curvesOf(run) {
  const curves = {};
  for (const metric of [...drawnAs(run, "chart"), ...drawnAs(run, "strip")]) {
    const pairs = known(run, metric.name);
    const curve = { metric, raw: [], strong: pairs };
    if (metric.name === "loss") Object.assign(curve, { raw: pairs, strong: known(run, "smoothed") });
    if (metric.name === "validation") curve.dots = true;
    if (metric.averaged) {
      const means = movingMean(pairs.map(([, value]) => value));
      curve.strong = pairs.map(([step], index) => [step, means[index]]);
    }
    curves[metric.name] = curve;
  }
  return curves;
}

/** [step, value] of every point that has a value in the column. */
function known({ columns, points }, column) {
  const index = columns.indexOf(column);
  return points.map((point) => [point[STEP], point[index]]).filter(([, value]) => Number.isFinite(value));
}

function namesOf(curves, kind) {
  return Object.keys(curves).filter((name) => curves[name].metric.drawn === kind);
}

/**
 * Draw the curves of a run up to the step `last` on a 2D context whose unit is a CSS pixel.
 *
 * `size` is {width, height}; `hidden` the names of curves to leave away; `at` the x in pixels under the pointer, or
 * null. Returns the step whose values the pointer is on, or null.
 */
export function drawRun(context, size, curves, last, { colours, words, locale, hidden, at }) {
  context.clearRect(0, 0, size.width, size.height);
  context.font = `${LETTERS_PX}px ${FONT}`;
  const losses = namesOf(curves, "chart").filter((name) => !hidden.has(name));
  const strips = namesOf(curves, "strip").filter((name) => curves[name].strong.length > 0);
  const values = (kind) => losses.flatMap((name) => curves[name][kind].map(([, value]) => value));
  const axis = range(values("strong"), values("raw")) ?? [0, 1];
  const marks = ticks(...axis, Math.max(2, Math.floor(size.height / 45)));
  const left = 10 + Math.max(...marks.map((mark) => context.measureText(inDigits(mark)).width), 22);
  const stripPx = STRIP_PX.label + STRIP_PX.curve + STRIP_PX.gap;
  const bottom = size.height - MARGIN.bottom - strips.length * stripPx;
  const plot = { left, top: MARGIN.top, right: size.width - MARGIN.right, bottom };
  const place = {
    x: (step) => plot.left + (step / Math.max(1, last)) * (plot.right - plot.left),
    y: (value) => plot.bottom - ((value - axis[0]) / (axis[1] - axis[0])) * (plot.bottom - plot.top),
  };
  drawAxes(context, plot, place, marks, last, colours, locale);
  clipped(context, plot, () => {
    for (const name of losses) drawCurve(context, place, plot, curves[name], colours[name]);
  });
  strips.forEach((name, index) => {
    const top = plot.bottom + MARGIN.bottom + index * stripPx;
    const label = `${wordOf(words, curves[name].metric)} ${inDigits(curves[name].strong.at(-1)[1])}`;
    drawStrip(context, { ...plot, top, bottom: top + STRIP_PX.label + STRIP_PX.curve }, place, curves[name], colours, {
      colour: colours[name],
      label,
    });
  });
  const shown = Object.fromEntries(losses.map((name) => [name, curves[name].strong]));
  return at === null ? null : drawPointer(context, plot, place, shown, colours, at, size.height);
}

function drawAxes(context, plot, place, marks, last, colours, locale) {
  context.lineWidth = 1;
  context.strokeStyle = colours.line;
  context.fillStyle = colours.faint;
  context.textBaseline = "middle";
  context.textAlign = "right";
  for (const mark of marks) {
    const y = Math.round(place.y(mark)) + 0.5;
    line(context, [[plot.left, y], [plot.right, y]]);
    context.fillText(inDigits(mark), plot.left - 6, y);
  }
  context.textBaseline = "top";
  const stepMarks = ticks(0, last, Math.max(1, Math.floor((plot.right - plot.left) / 70))).filter(Number.isInteger);
  for (const mark of stepMarks) {
    const text = inThousands(mark, locale);
    const half = context.measureText(text).width / 2;
    context.textAlign = "center";
    context.fillText(text, Math.min(place.x(mark), plot.right + MARGIN.right - half), plot.bottom + 4);
  }
}

function drawCurve(context, place, plot, { raw, strong, dots }, colour) {
  const columns = Math.max(1, Math.floor(plot.right - plot.left));
  const placed = (pairs) => thinned(pairs, columns).map(([step, value]) => [place.x(step), place.y(value)]);
  context.strokeStyle = colour;
  context.fillStyle = colour;
  context.lineJoin = "round";
  if (raw.length > 1) styled(context, FAINT, () => line(context, placed(raw)));
  const spots = placed(strong);
  if (spots.length > 1) styled(context, STRONG, () => line(context, spots));
  // A single step is no line yet, and an evaluation is a measurement of its own, as long as there is room.
  const room = spots.length < 2 || spots.at(-1)[0] - spots[0][0] > LEAST_PX_BETWEEN_DOTS * spots.length;
  for (const [x, y] of room && (dots || spots.length === 1) ? spots : []) dot(context, x, y, 2.5);
}

function drawStrip(context, plot, place, { raw, strong }, colours, { colour, label }) {
  context.fillStyle = colours.faint;
  context.textAlign = "left";
  context.textBaseline = "top";
  context.fillText(label, plot.left, plot.top);
  context.strokeStyle = colours.line;
  const ground = Math.round(plot.bottom) + 0.5;
  line(context, [[plot.left, ground], [plot.right, ground]]);
  const top = Math.max(...[...raw, ...strong].map(([, value]) => value)) || 1;
  const scaled = { x: place.x, y: (value) => plot.bottom - (value / top) * STRIP_PX.curve };
  drawCurve(context, scaled, plot, { raw, strong }, colour);
}

/** A line through the step nearest to the pointer, with a dot on each curve that has that step. */
function drawPointer(context, plot, place, shown, colours, pointer, height) {
  const longest = Object.values(shown).reduce((one, other) => (other.length > one.length ? other : one), []);
  const index = nearest(longest.map(([step]) => [place.x(step)]), pointer);
  if (index < 0 || pointer < plot.left || pointer > plot.right) return null;
  const step = longest[index][0];
  const x = Math.round(place.x(step)) + 0.5;
  context.strokeStyle = colours.faint;
  context.lineWidth = 1;
  context.setLineDash([3, 3]);
  line(context, [[x, plot.top], [x, height]]);
  context.setLineDash([]);
  for (const [name, pairs] of Object.entries(shown)) {
    const [at, value] = lastAt(pairs, step) ?? [];
    if (at !== step) continue;
    context.fillStyle = colours[name];
    dot(context, x, place.y(value), 3);
  }
  return step;
}

/** A curve's pair at a step, or the last one before it; undefined where it begins later. */
export function lastAt(pairs, step) {
  const index = nearest(pairs, step);
  return pairs[index]?.[0] > step ? pairs[index - 1] : pairs[index];
}

function dot(context, x, y, radius) {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fill();
}

function line(context, places) {
  context.beginPath();
  places.forEach(([x, y], index) => (index === 0 ? context.moveTo(x, y) : context.lineTo(x, y)));
  context.stroke();
}

function styled(context, { width, alpha }, draw) {
  context.save();
  context.lineWidth = width;
  context.globalAlpha = alpha;
  draw();
  context.restore();
}

function clipped(context, { left, top, right, bottom }, draw) {
  context.save();
  context.beginPath();
  context.rect(left, top - 4, right - left + 4, bottom - top + 5);
  context.clip();
  draw();
  context.restore();
}
