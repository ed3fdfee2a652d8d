/** What a training node shows of its run: how far it is, the curves, and the last sample picture. */

import { coloursOf, onThemeChange } from "../theme.js";
import { WarningList } from "../warnings.js";
import { curvesOf, drawnAs, drawRun, lastAt } from "./chart.js";
import { ScoresView } from "./scores.js";
import { stepsDone } from "./series.js";
import { inDigits, inThousands, inTime, wordOf, wordsOf } from "./words.js";

/** At which height the panel is still readable, in CSS pixels: without a run, with one; what a sample and scores add. */
export const HEIGHT_PX = Object.freeze({ empty: 44, run: 300, sample: 170, scores: 170 });

const SHARPEST = 3;

export class TrainingPanel {
  /** `pictureUrl({filename, subfolder, type})` is where a picture lies; `locale` the front end's language. */
  constructor({ pictureUrl, locale }) {
    this.element = element("div", "maskloss-panel");
    this.#pictureUrl = pictureUrl;
    this.#locale = locale;
    this.#words = wordsOf(locale);
    this.#build();
    this.show(null);
  }

  #pictureUrl;
  #locale;
  #words;
  #run = null;
  #curves = null;
  #hidden = new Set();
  #at = null;
  #frame = 0;
  #connected = null;
  #status;
  #bar;
  #keys = new Map();
  #keyRow;
  #atStep;
  #canvas;
  #sample;
  #warnings = new WarningList();
  #scores;
  /** The colour of the text around the scores when they were drawn: none before the panel is in the page. */
  #scoresIn = "";

  /** Show a run as `Runs` holds it; null is none. */
  show(run) {
    if (run === this.#run && run !== null) return;
    this.#run = run;
    this.element.dataset.state = run?.state ?? "none";
    this.#warnings.show(run?.warnings ?? []);
    this.element.style.minHeight = `${this.height}px`;
    if (run === null) {
      this.#status.replaceChildren(element("span", "maskloss-faint", this.#words.waiting));
      return;
    }
    this.#curves = curvesOf(run);
    this.#buildKeys(run);
    this.#showStatus(run);
    this.#showSample(run.sample);
    this.#showScores();
    this.#redraw();
  }

  /** Whether a run is the one that is shown, or what it has become. */
  shows({ node, run, prompt }) {
    const shown = this.#run;
    return shown !== null && shown.node === node && shown.run === run && shown.prompt === prompt;
  }

  /** The least height in CSS pixels. */
  get height() {
    if (this.#run === null) return HEIGHT_PX.empty;
    const scores = this.#run.scores?.length ? HEIGHT_PX.scores : 0;
    return HEIGHT_PX.run + (this.#run.sample ? HEIGHT_PX.sample : 0) + scores + this.#warnings.height;
  }

  /** Follow the pointer, the size and the theme, until `disconnect`. */
  connect() {
    if (this.#connected) return;
    this.#connected = new AbortController();
    const { signal } = this.#connected;
    this.#canvas.addEventListener("pointermove", (event) => this.#point(event.offsetX), { signal });
    this.#canvas.addEventListener("pointerleave", () => this.#point(null), { signal });
    const resizes = new ResizeObserver(() => this.#redraw());
    resizes.observe(this.#canvas);
    signal.addEventListener("abort", () => resizes.disconnect());
    onThemeChange(() => this.#redraw(), signal);
  }

  /** Nothing outside holds the panel any more. */
  disconnect() {
    this.#connected?.abort();
    this.#connected = null;
    cancelAnimationFrame(this.#frame);
  }

  #build() {
    this.#status = element("div", "maskloss-status");
    this.#bar = element("i");
    this.#keyRow = element("div", "maskloss-keys");
    this.#atStep = element("span", "maskloss-faint");
    this.#canvas = element("canvas");
    this.#sample = element("a", "maskloss-sample");
    this.#sample.target = "_blank";
    const bar = element("div", "maskloss-bar");
    bar.append(this.#bar);
    const charts = element("div", "maskloss-charts");
    charts.append(this.#canvas);
    this.#scores = new ScoresView(this.#words, this.#locale);
    const below = [this.#warnings.element, this.#scores.element, this.#sample];
    this.element.append(this.#status, bar, this.#keyRow, charts, ...below);
  }

  #showStatus(run) {
    const done = stepsDone(run);
    const share = run.steps ? Math.min(1, done / run.steps) : 0;
    this.#bar.style.width = `${share * 100}%`;
    const number = (value) => inThousands(value, this.#locale);
    const left = run.eta === null ? "" : `${inTime(run.eta, this.#words.units)} ${this.#words.left}`;
    this.#status.replaceChildren(
      element("b", "", `${this.#words.step} ${number(done)} / ${number(run.steps)}`),
      element("span", "maskloss-state", this.#words[run.state] ?? run.state),
      element("span", "maskloss-faint", left || `${Math.floor(share * 100)} %`),
    );
  }

  #showSample(sample) {
    this.#sample.hidden = !sample;
    if (!sample) return;
    const url = this.#pictureUrl(sample);
    if (this.#sample.getAttribute("href") === url) return;
    const picture = element("img");
    picture.src = url;
    picture.alt = `${this.#words.sample} ${inThousands(sample.step, this.#locale)}`;
    this.#sample.href = url;
    this.#sample.replaceChildren(picture, element("span", "maskloss-faint", picture.alt));
  }

  #showScores() {
    const metrics = drawnAs(this.#run, "scores");
    const colours = coloursOf(this.element, metrics);
    this.#scoresIn = colours.text;
    this.#scores.show(this.#run?.scores ?? [], metrics, this.#run?.choice ?? null, colours);
  }

  /** One for each curve of the chart; those that are there stay, a click may be on its way to them. */
  #buildKeys(run) {
    const metrics = drawnAs(run, "chart");
    if (metrics.length === this.#keys.size && metrics.every(({ name }) => this.#keys.has(name))) return;
    this.#keys = new Map(metrics.map((metric) => [metric.name, this.#key(metric)]));
    this.#keyRow.replaceChildren(...this.#keys.values(), this.#atStep);
  }

  /** A curve's name and value; a click hides the curve or shows it again. */
  #key(metric) {
    const { name } = metric;
    const key = element("button", "", wordOf(this.#words, metric));
    key.type = "button";
    key.append(element("b"));
    key.addEventListener("click", () => {
      if (!this.#hidden.delete(name)) this.#hidden.add(name);
      this.#redraw();
    });
    return key;
  }

  /** The values at the step under the pointer, or the last ones; of what varies from step to step, the means. */
  #showKeys(step, colours) {
    for (const [name, key] of this.#keys) {
      const pairs = this.#curves[name].strong;
      key.hidden = pairs.length === 0;
      key.style.setProperty("--maskloss-curve", colours[name]);
      key.setAttribute("aria-pressed", String(!this.#hidden.has(name)));
      key.lastChild.textContent = inDigits((step === null ? pairs.at(-1) : lastAt(pairs, step))?.[1]);
    }
    this.#atStep.textContent = step === null ? "" : `${this.#words.step} ${inThousands(step, this.#locale)}`;
  }

  #point(x) {
    this.#at = x;
    this.#redraw();
  }

  #redraw() {
    cancelAnimationFrame(this.#frame);
    this.#frame = requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    const [width, height] = [this.#canvas.clientWidth, this.#canvas.clientHeight];
    if (this.#run === null || width === 0 || height === 0) return;
    const colours = coloursOf(this.element, this.#run.metrics ?? []);
    if (colours.text !== this.#scoresIn) this.#showScores();
    // As sharp as the screen shows it, which the graph's own zoom enlarges or shrinks.
    const zoom = this.#canvas.getBoundingClientRect().width / width;
    const sharpness = Math.min(SHARPEST, Math.max(1, window.devicePixelRatio * zoom));
    const [columns, rows] = [Math.round(width * sharpness), Math.round(height * sharpness)];
    if (this.#canvas.width !== columns || this.#canvas.height !== rows) {
      [this.#canvas.width, this.#canvas.height] = [columns, rows];
    }
    const context = this.#canvas.getContext("2d");
    context.setTransform(columns / width, 0, 0, rows / height, 0, 0);
    const options = { colours, words: this.#words, locale: this.#locale, hidden: this.#hidden, at: this.#at };
    this.#showKeys(drawRun(context, { width, height }, this.#curves, stepsDone(this.#run), options), colours);
  }
}

function element(tag, className = "", text = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}
