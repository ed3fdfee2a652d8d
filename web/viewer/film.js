/** The frames of an open video: which one is shown, and on which something is painted, or carried from an earlier one. */

import { button, made, slider } from "./elements.js";

/** What counts on a frame of a server's timeline {painted, carried}: {kind: "painted", "carried" or "plain", source}. Pure. */
export function frameState({ painted, carried }, frame) {
  if (painted.includes(frame)) return { kind: "painted", source: frame };
  const span = carried.find(([, first, last]) => first <= frame && frame <= last);
  return span ? { kind: "carried", source: span[0] } : { kind: "plain", source: null };
}

/** The next painted frame behind (`by` 1) or before (-1) another one; null where there is none. Pure. */
export function paintedFrom({ painted }, frame, by) {
  const beyond = painted.filter((other) => (by > 0 ? other > frame : other < frame));
  if (beyond.length === 0) return null;
  return by > 0 ? Math.min(...beyond) : Math.max(...beyond);
}

/** Where marks stand on a line of length 1, on which frames have their middles: [{kind, left, width}]. Pure. */
export function marksOf({ painted, carried }, frames) {
  const steps = Math.max(1, frames - 1);
  const mark = (kind, first, last) => {
    const left = Math.max(0, (first - 0.5) / steps);
    return { kind, left, width: Math.min(1, (last + 0.5) / steps) - left };
  };
  return [
    ...carried.map(([, first, last]) => mark("carried", first, last)),
    ...painted.map((frame) => mark("painted", frame, frame)),
  ];
}

/** After a stroke the server is asked when so long nothing more was painted: it follows what was, which takes a while. */
const PAUSE_MS = 1000;
const NOTHING = { painted: [], carried: [] };

export class Film {
  /** `turns()` hears that another frame is to be shown, `asks(item)` is a promise of a video's timeline, and
   * `does(command)` hears what is not the film's own. */
  constructor(words, { turns, asks, does }) {
    this.#words = words;
    this.#does = { turns, asks };
    this.element = made("div", "maskloss-film");
    this.element.hidden = true;
    this.#slider = slider(words.frame, { min: 0, max: 0, value: 0 }, (value) => this.#turn(value));
    this.#marks = made("div", "maskloss-film-marks");
    this.#text = made("output", "maskloss-film-text");
    const line = made("div", "maskloss-film-line");
    line.append(this.#slider, this.#marks);
    this.element.append(
      button("⇤", words.paintedBack, () => this.jump(-1)), button("‹", words.frameBack, () => this.step(-1)), line,
      button("›", words.frameOn, () => this.step(1)), button("⇥", words.paintedOn, () => this.jump(1)),
      button("⊘", words.carryNothing, () => does("carryNothing")), this.#text,
    );
  }

  #words;
  #does;
  #slider;
  #marks;
  #text;
  #item = null;
  #line = NOTHING;
  #asking = null;
  #again = false;
  #pause = 0;
  /** The number of the frame that is shown; null where no video is. */
  frame = null;

  /** Show an item of the server's list: a video with the frame that stands for it, or nothing. */
  show(item) {
    this.#item = item?.video && item.frames > 0 ? item : null;
    this.#line = NOTHING;
    this.element.hidden = this.#item === null;
    this.frame = this.#item ? item.still : null;
    if (!this.#item) return;
    this.#slider.max = item.frames - 1;
    this.#draw();
    if (item.revision) this.refresh();
  }

  step(by) {
    if (this.#item) this.#turn(this.frame + by);
  }

  /** To the next frame that somebody painted on. */
  jump(by) {
    const frame = this.#item ? paintedFrom(this.#line, this.frame, by) : null;
    if (frame !== null) this.#turn(frame);
  }

  /** Something was painted on a frame. */
  painted(frame) {
    if (!this.#item || frame === null) return;
    const { painted } = this.#line;
    if (!painted.includes(frame)) this.#line = { ...this.#line, painted: [...painted, frame] };
    this.#draw();
    this.#pause = PAUSE_MS;
    this.refresh();
  }

  /** What is painted and carried has changed. One request at a time. */
  async refresh() {
    if (!this.#item) return;
    this.#again = true;
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = null;
    });
    await this.#asking;
  }

  async #ask() {
    while (this.#again) {
      this.#again = false;
      if (this.#pause > 0) {
        const pause = this.#pause;
        this.#pause = 0;
        await new Promise((done) => setTimeout(done, pause));
        if (this.#pause > 0) continue;
      }
      const item = this.#item;
      const line = item && (await this.#does.asks(item).catch(() => null));
      if (line && item === this.#item) {
        this.#line = line;
        this.#draw();
      }
    }
  }

  #turn(frame) {
    const kept = Math.min(this.#item.frames - 1, Math.max(0, frame));
    if (kept === this.frame) return;
    this.frame = kept;
    this.#draw();
    this.#does.turns();
  }

  #draw() {
    const { kind, source } = frameState(this.#line, this.frame);
    this.#slider.value = this.frame;
    const told = this.#words.frameOf(this.frame, this.#item.frames - 1);
    this.#text.textContent = `${told} · ${this.#words.frameIs[kind](source)}`;
    this.#slider.setAttribute("aria-valuetext", this.#text.textContent);
    this.element.dataset.kind = kind;
    this.#marks.replaceChildren(
      ...marksOf(this.#line, this.#item.frames).map(({ kind: of, left, width }) => {
        const mark = made("i");
        mark.dataset.kind = of;
        mark.style.left = `${100 * left}%`;
        mark.style.width = `${100 * width}%`;
        return mark;
      }),
    );
  }
}
