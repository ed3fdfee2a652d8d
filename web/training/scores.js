/** The scores of a run's checkpoints: a small chart over the steps, and which checkpoint to keep. */

import { range, ticks } from "./scale.js";
import { inThousands, wordOf } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";
const SIZE = Object.freeze({ width: 320, height: 96 });
const MARGIN = Object.freeze({ left: 30, right: 6, top: 6, bottom: 14 });

/**
 * Where each figure's values lie in a chart of `size`: {marks: [[value, y]], figures: [{metric, dots: [[x, y]],
 * latest}]}, in the order of `metrics`. `scores` are objects with a step and the figures, null where one was not measured; such a step leaves no dot, and a
 * figure that was never measured is left away. Null where there is nothing to draw.
 */
export function placeScores(scores, metrics, { width, height } = SIZE) {
  const measured = metrics.map((metric) => ({
    metric,
    known: scores.filter((one) => Number.isFinite(one[metric.name])),
  }));
  const drawn = measured.filter(({ known }) => known.length > 0);
  const axis = range([0, ...drawn.flatMap(({ metric, known }) => known.map((one) => one[metric.name]))]);
  if (drawn.length === 0) return null;
  const last = Math.max(1, ...scores.map(({ step }) => step));
  const x = (step) => MARGIN.left + (step / last) * (width - MARGIN.left - MARGIN.right);
  const bottom = height - MARGIN.bottom;
  const y = (value) => bottom - ((value - axis[0]) / (axis[1] - axis[0])) * (bottom - MARGIN.top);
  return {
    last,
    marks: ticks(...axis, 3).map((value) => [value, y(value)]),
    figures: drawn.map(({ metric, known }) => ({
      metric,
      dots: known.map((one) => [x(one.step), y(one[metric.name])]),
      latest: known.at(-1)[metric.name],
    })),
  };
}

/** What is shown of a run's scores, in an element of its own; hidden while there are none. */
export class ScoresView {
  #words;
  #locale;

  constructor(words, locale) {
    this.element = document.createElement("div");
    this.element.className = "maskloss-scores";
    this.element.hidden = true;
    this.#words = words;
    this.#locale = locale;
  }

  /**
   * `scores` and the `metrics` in them as the server sends them, `choice` {step, sure, reason} or null; `colours` of the
   * figures by name.
   */
  show(scores, metrics, choice, colours) {
    const placed = placeScores(scores, metrics);
    this.element.hidden = scores.length === 0;
    if (scores.length === 0) return;
    const parts = [this.#faces(scores.at(-1))];
    if (placed) parts.push(this.#keys(placed, colours), this.#chart(placed, colours));
    if (choice) parts.push(this.#choice(choice));
    this.element.replaceChildren(...parts);
  }

  #faces({ step, faces, pictures }) {
    const { faceIn, of, step: word } = this.#words;
    return made("div", "maskloss-faint", `${faceIn} ${faces} ${of} ${pictures} (${word} ${inThousands(step, this.#locale)})`);
  }

  #keys({ figures }, colours) {
    const keys = made("div", "maskloss-score-keys");
    for (const { metric, latest } of figures) {
      const key = made("span", "", wordOf(this.#words, metric));
      key.style.setProperty("--maskloss-curve", colours[metric.name]);
      key.append(made("b", "", latest.toFixed(2)));
      keys.append(key);
    }
    return keys;
  }

  #chart({ marks, figures, last }, colours) {
    const chart = drawn("svg", { viewBox: `0 0 ${SIZE.width} ${SIZE.height}`, role: "img" });
    chart.setAttribute("aria-label", figures.map(({ metric, latest }) => `${wordOf(this.#words, metric)} ${latest}`).join(", "));
    for (const [value, y] of marks) {
      chart.append(drawn("line", { x1: MARGIN.left, x2: SIZE.width - MARGIN.right, y1: y, y2: y, stroke: colours.line }));
      const label = drawn("text", { x: MARGIN.left - 4, y: y + 3, fill: colours.faint, "text-anchor": "end" });
      label.textContent = String(value);
      chart.append(label);
    }
    const end = drawn("text", { x: SIZE.width - MARGIN.right, y: SIZE.height - 2, fill: colours.faint, "text-anchor": "end" });
    end.textContent = inThousands(last, this.#locale);
    chart.append(end);
    for (const { metric, dots } of figures) {
      const colour = colours[metric.name];
      const points = dots.map((dot) => dot.join(",")).join(" ");
      chart.append(drawn("polyline", { points, fill: "none", stroke: colour, "stroke-width": 1.5 }));
      for (const [cx, cy] of dots) chart.append(drawn("circle", { cx, cy, r: 2.5, fill: colour }));
    }
    return chart;
  }

  #choice({ step, sure, reason }) {
    const line = made("div", "maskloss-choice");
    line.dataset.sure = String(sure);
    const kept = step === null ? this.#words.keepNone : `${this.#words.keep} ${inThousands(step, this.#locale)}`;
    line.append(made("b", "", sure || step === null ? kept : `${kept} (${this.#words.unsure})`), ` ${reason}`);
    return line;
  }
}

function made(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text) element.textContent = text;
  return element;
}

function drawn(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}
