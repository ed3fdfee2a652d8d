/** The list of thumbnails: only those that are seen are there, however many photographs there are. */

import { made } from "./elements.js";
import { lookUp } from "./overlay.js";

const CELL_PX = { width: 116, height: 136 };
const PICTURE_PX = 104;
const MARGIN_ROWS = 2;
/** Pictures with their masks that are kept; a thousand take 45 MB. */
const MOST_KEPT = 600;

export class Sheet {
  /** `source` has thumbnail(item), an address, and mask(item), a promise of {bitmap, coverage}; `chosen(index)`. */
  constructor({ source, chosen, label }) {
    this.#source = source;
    this.#chosen = chosen;
    this.element = made("div", "maskloss-sheet");
    this.element.setAttribute("role", "listbox");
    this.element.setAttribute("aria-label", label);
    this.element.tabIndex = 0;
    this.#inner = made("div", "maskloss-sheet-inner");
    this.element.append(this.#inner);
    this.element.addEventListener("scroll", () => this.#show(), { passive: true });
    new ResizeObserver(() => this.#show()).observe(this.element);
  }

  #source;
  #chosen;
  #inner;
  #items = [];
  #at = -1;
  #tiers = {};
  #cells = new Map();
  #drawn = new Map();

  /** Show these items, one of them as the open one. */
  show(items, tiers, at) {
    this.#items = items;
    this.#tiers = tiers;
    this.#at = at;
    for (const { element } of this.#cells.values()) element.remove();
    this.#cells.clear();
    this.#show();
    this.#reveal();
  }

  select(at) {
    this.#at = at;
    for (const [index, { element }] of this.#cells) element.setAttribute("aria-selected", String(index === at));
    this.#reveal();
  }

  /** What is known of an item has changed; its mask is read again where `mask` has. */
  update(item, mask) {
    if (mask) this.#drawn.delete(item.id);
    const index = this.#items.findIndex(({ id }) => id === item.id);
    if (index < 0) return;
    this.#items[index] = item;
    this.#cells.get(index)?.element.remove();
    this.#cells.delete(index);
    this.#show();
  }

  #columns() {
    return Math.max(1, Math.floor(this.element.clientWidth / CELL_PX.width));
  }

  #show() {
    const columns = this.#columns();
    this.#inner.style.height = `${Math.ceil(this.#items.length / columns) * CELL_PX.height}px`;
    const first = Math.max(0, Math.floor(this.element.scrollTop / CELL_PX.height) - MARGIN_ROWS) * columns;
    const rows = Math.ceil(this.element.clientHeight / CELL_PX.height) + 2 * MARGIN_ROWS;
    const last = Math.min(this.#items.length, first + rows * columns);
    for (const [index, { element }] of this.#cells) {
      if (index >= first && index < last) continue;
      element.remove();
      this.#cells.delete(index);
    }
    for (let index = first; index < last; index++) {
      if (!this.#cells.has(index)) this.#cells.set(index, this.#cell(index));
      const { element } = this.#cells.get(index);
      if (!element.isConnected) this.#inner.append(element);
      const [left, top] = [(index % columns) * CELL_PX.width, Math.floor(index / columns) * CELL_PX.height];
      element.style.transform = `translate(${left}px, ${top}px)`;
    }
  }

  #cell(index) {
    const item = this.#items[index];
    const element = made("div", "maskloss-cell");
    element.setAttribute("role", "option");
    element.id = `maskloss-cell-${item.id}`;
    element.setAttribute("aria-selected", String(index === this.#at));
    element.setAttribute("aria-label", item.name);
    element.title = item.error || item.left_out || item.reason || item.name;
    element.dataset.state = stateOf(item);
    const canvas = made("canvas");
    canvas.width = PICTURE_PX;
    canvas.height = PICTURE_PX;
    element.append(canvas, made("span", "", labelOf(item)));
    element.addEventListener("click", () => this.#chosen(index));
    this.#draw(item, canvas);
    return { element };
  }

  async #draw(item, canvas) {
    let drawn = this.#drawn.get(item.id);
    if (!drawn) {
      drawn = this.#paint(item);
      this.#drawn.set(item.id, drawn);
      if (this.#drawn.size > MOST_KEPT) this.#drawn.delete(this.#drawn.keys().next().value);
    }
    const picture = await drawn.catch(() => null);
    if (picture) canvas.getContext("2d").drawImage(picture, 0, 0);
  }

  /** The photograph under its mask, as one picture. */
  async #paint(item) {
    const photo = new Image();
    photo.src = this.#source.thumbnail(item);
    const [, mask] = await Promise.all([photo.decode(), item.video ? null : this.#source.mask(item).catch(() => null)]);
    const canvas = new OffscreenCanvas(PICTURE_PX, PICTURE_PX);
    const context = canvas.getContext("2d");
    const scale = PICTURE_PX / Math.max(photo.naturalWidth, photo.naturalHeight);
    const [width, height] = [photo.naturalWidth * scale, photo.naturalHeight * scale];
    const place = [(PICTURE_PX - width) / 2, (PICTURE_PX - height) / 2, width, height];
    context.drawImage(photo, ...place);
    if (mask) {
      const coloured = new OffscreenCanvas(mask.bitmap.width, mask.bitmap.height);
      const inside = coloured.getContext("2d");
      inside.drawImage(mask.bitmap, 0, 0);
      const data = inside.getImageData(0, 0, coloured.width, coloured.height);
      const pixels = new Uint32Array(data.data.buffer);
      const table = lookUp(this.#tiers, 0.5);
      for (let at = 0; at < pixels.length; at++) pixels[at] = table[pixels[at] & 255];
      inside.putImageData(data, 0, 0);
      context.imageSmoothingEnabled = false;
      context.drawImage(coloured, ...place);
      mask.bitmap.close();
    }
    return canvas.transferToImageBitmap();
  }

  #reveal() {
    const open = this.#items[this.#at];
    if (!open) return this.element.removeAttribute("aria-activedescendant");
    this.element.setAttribute("aria-activedescendant", `maskloss-cell-${open.id}`);
    const top = Math.floor(this.#at / this.#columns()) * CELL_PX.height;
    const { scrollTop, clientHeight } = this.element;
    if (top < scrollTop) this.element.scrollTop = top;
    else if (top + CELL_PX.height > scrollTop + clientHeight) this.element.scrollTop = top + CELL_PX.height - clientHeight;
  }
}

/** What a cell is called. Of several people's items the person comes first, where there is room for little. Pure. */
export function labelOf({ name, person }) {
  return person ? `${person} · ${name.slice(0, -(person.length + 1))}` : name;
}

/** What a cell shows at a glance. */
export function stateOf(item) {
  if (item.error) return "broken";
  if (item.left_out || item.by_hand) return "out";
  if (item.done) return "done";
  return item.revision ? "corrected" : "";
}
