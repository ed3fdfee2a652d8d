/** One photograph's mask under correction: strokes of the stage are painted, can be undone, and are kept. */

import { MaskEdit } from "./edit.js";
import { Saver } from "./saver.js";
import { brush, fillRegion, growRegions, polygon } from "./tools.js";

/** A click so near to its first point closes a polygon. */
const CLOSE_PX = 8;

export class Painter {
  constructor(stage, tools) {
    this.#stage = stage;
    this.#tools = tools;
  }

  #stage;
  #tools;
  #last = null;
  #leaving = new Set();
  edit = null;
  saver = null;

  /** Correct a picture {width, height} with its mask as `Client.mask` gives it; the rest is a `Saver`'s. */
  begin({ width, height }, { base, values, painted, revision }, { send, stale, told }) {
    this.#last = null;
    this.edit = new MaskEdit(width, height, base, values, painted);
    this.#stage.show(this.edit);
    this.saver = new Saver({ edit: this.edit, revision, send, stale, told });
    this.#tools.setHistory(this.edit);
  }

  /** Nothing more can be painted; when the promise is there, all that was is kept. */
  async leave() {
    const { saver } = this;
    this.saver = null;
    this.edit = null;
    if (!saver) return;
    this.#leaving.add(saver);
    await saver.close().finally(() => this.#leaving.delete(saver));
  }

  get isSaved() {
    return [this.saver, ...this.#leaving].every((saver) => !saver || saver.isSaved);
  }

  start(point, event) {
    if (!this.edit) return;
    const { tool, value } = this.#tools;
    if (tool === "polygon") return this.#corner(point);
    this.edit.begin();
    if (tool === "fill") {
      this.#changed(fillRegion(this.edit, point, value));
      return this.#ended();
    }
    // With Shift a straight line from where the last stroke ended.
    const from = event.shiftKey && this.#last ? this.#last : point;
    this.#last = point;
    this.#changed(brush(this.edit, from, point, this.#tools.radius, value));
  }

  move(point) {
    if (!this.edit?.isOpen || this.#tools.tool !== "brush") return;
    this.#changed(brush(this.edit, this.#last, point, this.#tools.radius, this.#tools.value));
    this.#last = point;
  }

  /** The end of a stroke; null gives it up. */
  end(point) {
    if (!this.edit || this.#tools.tool !== "brush") return;
    const area = this.edit.end();
    if (point === null && area) this.edit.undo();
    if (area) {
      this.#stage.changed(area);
      this.#save(point === null ? null : area);
    }
  }

  hover(point) {
    const radius = this.#tools.tool === "brush" ? this.#tools.radius : 0;
    this.#stage.cursor = point && this.edit ? { ...point, radius } : null;
  }

  /** Close the polygon. */
  finish() {
    const { points } = this.#stage;
    this.#stage.points = [];
    if (points.length > 2) this.paint((edit) => polygon(edit, points, this.#tools.value));
    this.#stage.point();
  }

  /** The polygon without its last corner. */
  back() {
    this.#stage.points.pop();
    this.#stage.point();
  }

  grow(pixels) {
    const { value } = this.#tools;
    if (value !== null) this.paint((edit) => growRegions(edit, value, pixels));
  }

  /** One stroke: what `paints(edit)` does, which gives back the rectangle that changed. */
  paint(paints) {
    if (!this.edit) return;
    this.edit.begin();
    this.#changed(paints(this.edit));
    this.#ended();
  }

  undo() {
    this.#restored(this.edit?.undo());
  }

  redo() {
    this.#restored(this.edit?.redo());
  }

  #corner(point) {
    const [first] = this.#stage.points;
    const near = first && Math.hypot(point.x - first.x, point.y - first.y) * this.#stage.view.scale < CLOSE_PX;
    if (near) return this.finish();
    this.#stage.points.push(point);
    this.#stage.point();
  }

  #restored(area) {
    if (!area) return;
    this.#changed(area);
    this.#save(area);
  }

  #ended() {
    const area = this.edit.end();
    if (area) this.#save(area);
    this.#stage.redraw();
  }

  #changed(area) {
    if (area) this.#stage.changed(area);
  }

  #save(area) {
    this.#tools.setHistory(this.edit);
    if (area) this.saver?.save(area);
  }
}
