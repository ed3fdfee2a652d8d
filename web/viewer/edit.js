/**
 * A mask under correction: what lies under it, what is shown, and where somebody has painted. Pure; pixels are bytes,
 * rectangles are {left, top, right, bottom} with the last two outside.
 */

/** Pixels of a side of the squares that the history keeps. */
const TILE = 256;
/** Bytes of strokes that can be undone; older ones are forgotten. */
const MOST_HISTORY = 96 * 1024 * 1024;

/** The smallest rectangle around two, of which either may be null. */
export function union(one, other) {
  if (!one || !other) return one ?? other;
  return {
    left: Math.min(one.left, other.left),
    top: Math.min(one.top, other.top),
    right: Math.max(one.right, other.right),
    bottom: Math.max(one.bottom, other.bottom),
  };
}

export class MaskEdit {
  /** `base` is the mask under the correction, `values` and `painted` (not 0 where it counts) the correction. */
  constructor(width, height, base, values, painted) {
    Object.assign(this, { width, height, base });
    this.load(values, painted);
  }

  #strokes = [];
  #undone = [];
  #open = null;

  /** Take another correction; what could be undone is forgotten. */
  load(values, painted) {
    this.painted = painted;
    this.shown = values;
    for (let at = 0; at < this.shown.length; at++) if (!painted[at]) this.shown[at] = this.base[at];
    this.#strokes = [];
    this.#undone = [];
    this.#open = null;
  }

  /** The part of a rectangle that lies in the picture; null where nothing does. */
  inside({ left, top, right, bottom }) {
    const cut = {
      left: Math.max(0, Math.floor(left)),
      top: Math.max(0, Math.floor(top)),
      right: Math.min(this.width, Math.ceil(right)),
      bottom: Math.min(this.height, Math.ceil(bottom)),
    };
    return cut.left < cut.right && cut.top < cut.bottom ? cut : null;
  }

  /** All until `end` is undone at once. */
  begin() {
    this.#open = { tiles: new Map(), area: null };
  }

  get isOpen() {
    return this.#open !== null;
  }

  /** What was written since `begin`, so far. */
  get openArea() {
    return this.#open?.area ?? null;
  }

  /** Before anything inside the rectangle is written. */
  touch(rect) {
    const columns = Math.ceil(this.width / TILE);
    for (let row = Math.floor(rect.top / TILE); row * TILE < rect.bottom; row++) {
      for (let column = Math.floor(rect.left / TILE); column * TILE < rect.right; column++) {
        const key = row * columns + column;
        if (!this.#open.tiles.has(key)) this.#open.tiles.set(key, this.#copy(this.#tile(key)));
      }
    }
    this.#open.area = union(this.#open.area, rect);
  }

  /** Write a weight, or with null take the paint away. */
  put(at, value) {
    this.painted[at] = value === null ? 0 : 255;
    this.shown[at] = value === null ? this.base[at] : value;
  }

  /** What was written since `begin`: its rectangle, or null. */
  end() {
    const stroke = this.#open;
    this.#open = null;
    if (!stroke?.area) return null;
    this.#strokes.push(stroke);
    this.#undone = [];
    let bytes = 0;
    for (let at = this.#strokes.length - 1; at >= 0; at--) {
      bytes += this.#strokes[at].tiles.size * TILE * TILE * 2;
      if (bytes > MOST_HISTORY && at < this.#strokes.length - 1) {
        this.#strokes.splice(0, at + 1);
        break;
      }
    }
    return stroke.area;
  }

  get canUndo() {
    return this.#strokes.length > 0;
  }

  get canRedo() {
    return this.#undone.length > 0;
  }

  /** The rectangle that changed, or null where there is nothing to undo. */
  undo() {
    return this.#swap(this.#strokes, this.#undone);
  }

  redo() {
    return this.#swap(this.#undone, this.#strokes);
  }

  /** The correction inside a rectangle: values, then painted. */
  pack({ left, top, right, bottom }) {
    const width = right - left;
    const size = width * (bottom - top);
    const planes = new Uint8Array(2 * size);
    for (let y = top; y < bottom; y++) {
      const from = y * this.width + left;
      const to = (y - top) * width;
      planes.set(this.shown.subarray(from, from + width), to);
      planes.set(this.painted.subarray(from, from + width), size + to);
    }
    for (let at = 0; at < size; at++) if (!planes[size + at]) planes[at] = 0;
    return planes;
  }

  #swap(from, to) {
    const stroke = from.pop();
    if (!stroke) return null;
    const tiles = new Map();
    for (const [key, before] of stroke.tiles) {
      const place = this.#tile(key);
      tiles.set(key, this.#copy(place));
      this.#paste(place, before);
    }
    to.push({ tiles, area: stroke.area });
    return stroke.area;
  }

  #tile(key) {
    const columns = Math.ceil(this.width / TILE);
    const [left, top] = [(key % columns) * TILE, Math.floor(key / columns) * TILE];
    return { left, top, right: Math.min(this.width, left + TILE), bottom: Math.min(this.height, top + TILE) };
  }

  #copy({ left, top, right, bottom }) {
    const width = right - left;
    const copy = new Uint8Array(2 * width * (bottom - top));
    for (let y = top; y < bottom; y++) {
      const [from, to] = [y * this.width + left, 2 * (y - top) * width];
      copy.set(this.shown.subarray(from, from + width), to);
      copy.set(this.painted.subarray(from, from + width), to + width);
    }
    return copy;
  }

  #paste({ left, top, right, bottom }, copy) {
    const width = right - left;
    for (let y = top; y < bottom; y++) {
      const [to, from] = [y * this.width + left, 2 * (y - top) * width];
      this.shown.set(copy.subarray(from, from + width), to);
      this.painted.set(copy.subarray(from + width, from + 2 * width), to);
    }
  }
}
