/** Regions that the server proposes where somebody points: by a click, or by a box that is dragged around. */

import { button } from "./elements.js";
import { regionWithin } from "./tools.js";

/** A press that moves less is a click. */
const CLICK_PX = 5;
/** Of no tier. */
const COLOUR = [60, 220, 120, 150];

/** What a press from one point to another points at, in a picture shown at `scale`; `before` is what was pointed at
 * already, which a click with Shift adds to, and one with Alt takes from. Pure. */
export function pointingOf(from, to, scale, before, { shiftKey = false, altKey = false } = {}) {
  const at = [from.x, from.y];
  if (Math.hypot(to.x - from.x, to.y - from.y) * scale >= CLICK_PX) {
    return { on: [], off: [], box: [Math.min(from.x, to.x), Math.min(from.y, to.y), Math.max(from.x, to.x), Math.max(from.y, to.y)] };
  }
  if (before && altKey) return { ...before, off: [...before.off, at] };
  if (before && shiftKey) return { ...before, on: [...before.on, at] };
  return { on: [at], off: [], box: null };
}

/** Of a pointing what lies in the picture. Pure. */
export function clipped({ on, off, box }, { width, height }) {
  const into = (value, most) => Math.min(most, Math.max(0, value));
  const points = (all) => all.map(([x, y]) => [into(x, width), into(y, height)]);
  return { on: points(on), off: points(off), box: box && box.map((edge, at) => into(edge, at % 2 ? height : width)) };
}

export class Helper {
  /** `ask(pointing)` is a promise of a region {left, top, width, height, inside}, or null where something else is open by
   * now. */
  constructor(words, stage, tools, painter, frame, ask) {
    Object.assign(this, { words, stage, tools, painter, frame, ask });
  }

  #from = null;
  #event = {};
  #pointing = null;
  #asked = 0;

  start(point, event) {
    this.#from = point;
    this.#event = event;
  }

  move(point) {
    if (this.#from) this.#box(this.#from, point);
  }

  async end(point) {
    const from = this.#from;
    this.#from = null;
    this.stage.box = null;
    this.stage.point();
    if (!from || !point || !this.painter.edit) return;
    const pointing = pointingOf(from, point, this.stage.view.scale, this.stage.proposal && this.#pointing, this.#event);
    await this.#propose(clipped(pointing, this.stage.picture));
  }

  /** Paint the proposal, or with `least` only what is background of it so far; false where there is none. */
  accept(least = false) {
    const { proposal } = this.stage;
    if (!proposal) return false;
    const where = least ? (this.tools.tiers.background ?? 0) : null;
    this.painter.paint((edit) => regionWithin(edit, proposal, this.tools.value, where));
    this.drop();
    return true;
  }

  /** Forget the proposal; false where there is none. */
  drop() {
    this.#asked++;
    const was = this.stage.proposal !== null;
    this.stage.proposal = null;
    if (was) this.frame.note("");
    this.stage.point();
    return was;
  }

  async #propose(pointing) {
    const turn = ++this.#asked;
    this.#pointing = pointing;
    this.frame.status("proposing");
    try {
      const region = await this.ask(pointing);
      if (turn !== this.#asked || !region) return;
      this.stage.proposal = { ...region, picture: pictureOf(region) };
      this.#offer();
    } catch (error) {
      if (turn === this.#asked) this.frame.note(error.message);
    } finally {
      if (turn === this.#asked) this.frame.status("");
      this.stage.point();
    }
  }

  #offer() {
    const { words } = this;
    this.frame.note(
      words.proposed,
      button(words.accept, words.accept, () => this.accept()),
      button(words.acceptLeast, words.acceptLeast, () => this.accept(true)),
      button(words.drop, words.drop, () => this.drop()),
    );
  }

  #box(from, to) {
    this.stage.box = [Math.min(from.x, to.x), Math.min(from.y, to.y), Math.abs(to.x - from.x), Math.abs(to.y - from.y)];
    this.stage.point();
  }
}

/** A region as something that can be drawn. */
function pictureOf({ width, height, inside }) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  const data = context.createImageData(width, height);
  for (let at = 0; at < inside.length; at++) if (inside[at]) data.data.set(COLOUR, 4 * at);
  context.putImageData(data, 0, 0);
  return canvas;
}
