/** The large picture: photograph, overlay, latent grid; mouse, finger and pen. It paints nothing by itself. */

import { drawMarks, STRIDE_PX } from "./marks.js";
import { cellMeans, drawWeights, lookUp } from "./overlay.js";
import { listen } from "./pointers.js";
import { fit, kept, tilesOf, toPicture, trainedArea, zoomed } from "./view.js";

export class Stage {
  /** `hears` are {start, move, end, hover} with (point in the picture, event); `pans(event)` whether a press moves. */
  constructor(hears, pans) {
    this.element = document.createElement("div");
    this.element.className = "maskloss-stage";
    this.#photo = this.#layer();
    this.#mask = this.#layer();
    this.#marks = this.#layer();
    this.canvas = this.#marks;
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "application");
    const observer = new ResizeObserver(() => this.#resize());
    observer.observe(this.element);
    this.#listen(hears, pans);
  }

  #photo;
  #mask;
  #marks;
  #tiles = null;
  #under = null;
  #window = { width: 1, height: 1 };
  #dense = 1;
  #pixels = null;
  #dirty = null;
  #frame = 0;
  #fitted = true;
  #means = null;
  view = { scale: 1, x: 0, y: 0 };
  picture = null;
  edit = null;
  /** What is shown; `redraw` after a change. */
  look = { opacity: 0.5, overlay: true, before: false, cells: false, tiers: {}, bucket: null };
  /** {x, y, radius} of the brush and `points` of a polygon, in the picture. */
  cursor = null;
  points = [];
  /** Faces that can be chosen, as `drawMarks` draws them, and the number of the one that is pointed at. */
  faces = [];
  pointed = -1;
  /** A region that is proposed, {left, top, width, height, picture}, and a box that is being dragged, [x, y, width, height]. */
  proposal = null;
  box = null;

  /** Show a picture {width, height}, which `draws(came)` draws, such as `Tiles`; the mask comes later. */
  open(picture, draws) {
    this.close();
    this.#tiles = draws(() => this.redraw());
    this.picture = picture;
    this.edit = null;
    this.#means = null;
    this.points = [];
    this.proposal = null;
    this.#fitted = true;
    this.#resize();
  }

  /** Show another picture of the same size in the same place, such as another frame; the mask comes later. */
  turn(draws) {
    this.#under?.close();
    const under = (this.#under = this.#tiles);
    this.#tiles = draws(() => {
      // What was there before is seen until there is something new.
      under?.close();
      if (this.#under === under) this.#under = null;
      this.redraw();
    });
    this.edit = null;
    this.#means = null;
    this.points = [];
    this.proposal = null;
    this.redraw();
  }

  show(edit) {
    this.edit = edit;
    this.#means = null;
    this.redraw();
  }

  fit() {
    this.#fitted = true;
    this.view = fit(this.picture ?? this.#window, this.#window);
    this.redraw();
  }

  zoom(factor, point = { x: this.#window.width / 2, y: this.#window.height / 2 }) {
    if (!this.picture) return;
    this.#fitted = false;
    this.view = zoomed(this.view, this.picture, this.#window, point, factor);
    this.redraw();
  }

  /** A rectangle of the picture has changed; the next frame shows it. */
  changed(area) {
    this.#means = null;
    const { scale, x, y } = this.view;
    const grown = {
      left: Math.floor((area.left * scale + x) * this.#dense) - 1,
      top: Math.floor((area.top * scale + y) * this.#dense) - 1,
      right: Math.ceil((area.right * scale + x) * this.#dense) + 1,
      bottom: Math.ceil((area.bottom * scale + y) * this.#dense) + 1,
    };
    this.#dirty = this.#dirty === "all" ? "all" : join(this.#dirty, grown);
    this.#frame ||= requestAnimationFrame(() => this.#draw());
  }

  redraw() {
    this.#dirty = "all";
    this.#frame ||= requestAnimationFrame(() => this.#draw());
  }

  /** The cursor alone. */
  point() {
    this.#frame ||= requestAnimationFrame(() => this.#draw());
  }

  close() {
    this.#tiles?.close();
    this.#under?.close();
    this.#tiles = this.#under = null;
    this.edit = null;
    this.picture = null;
  }

  #layer() {
    const canvas = document.createElement("canvas");
    this.element.append(canvas);
    return canvas;
  }

  #resize() {
    const { clientWidth: width, clientHeight: height } = this.element;
    if (!width || !height) return;
    this.#dense = Math.min(2, window.devicePixelRatio || 1);
    this.#window = { width, height };
    for (const canvas of [this.#photo, this.#mask, this.#marks]) {
      canvas.width = Math.round(width * this.#dense);
      canvas.height = Math.round(height * this.#dense);
    }
    this.#pixels = new ImageData(this.#mask.width, this.#mask.height);
    if (this.picture) this.view = this.#fitted ? fit(this.picture, this.#window) : kept(this.view, this.picture, this.#window);
    this.redraw();
  }

  #draw() {
    this.#frame = 0;
    const dirty = this.#dirty;
    this.#dirty = null;
    if (!this.picture || !this.#pixels) return;
    if (dirty === "all") this.#drawPhoto();
    if (dirty) this.#drawMask(dirty);
    this.#drawMarks();
  }

  #drawPhoto() {
    const context = this.#photo.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.#photo.width, this.#photo.height);
    context.setTransform(this.#dense, 0, 0, this.#dense, 0, 0);
    context.imageSmoothingEnabled = this.view.scale < 2;
    const tiles = tilesOf(this.view, this.picture, this.#window, this.#dense);
    this.#under?.draw(context, this.view, tiles);
    this.#tiles?.draw(context, this.view, tiles);
  }

  #drawMask(dirty) {
    const { overlay, opacity, before, cells, tiers, bucket } = this.look;
    const { width, height } = this.#mask;
    const all = { left: 0, top: 0, right: width, bottom: height };
    const area = dirty === "all" ? all : { ...dirty };
    area.left = Math.max(0, area.left);
    area.top = Math.max(0, area.top);
    area.right = Math.min(width, area.right);
    area.bottom = Math.min(height, area.bottom);
    if (area.left >= area.right || area.top >= area.bottom) return;
    const context = this.#mask.getContext("2d");
    if (!overlay || !this.edit) {
      context.clearRect(0, 0, width, height);
      return;
    }
    const view = { scale: this.view.scale * this.#dense, x: this.view.x * this.#dense, y: this.view.y * this.#dense };
    const pixels = new Uint32Array(this.#pixels.data.buffer);
    const table = lookUp(tiers, opacity);
    if (cells && bucket) {
      const trained = trainedArea(this.picture, bucket, STRIDE_PX);
      this.#means ??= cellMeans(this.picture, before ? this.edit.base : this.edit.shown, trained).map(Math.round);
      const grid = { width: trained.columns, height: trained.rows };
      const placed = {
        scale: trained.cell * view.scale,
        x: view.x + trained.left * view.scale,
        y: view.y + trained.top * view.scale,
      };
      drawWeights(pixels, width, placed, grid, this.#means, table, all);
      context.putImageData(this.#pixels, 0, 0);
      return;
    }
    drawWeights(pixels, width, view, this.picture, before ? this.edit.base : this.edit.shown, table, area);
    const size = [area.right - area.left, area.bottom - area.top];
    context.putImageData(this.#pixels, 0, 0, area.left, area.top, ...size);
  }

  #drawMarks() {
    const context = this.#marks.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.#marks.width, this.#marks.height);
    context.setTransform(this.#dense, 0, 0, this.#dense, 0, 0);
    drawMarks(context, this);
  }

  #listen(hears, pans) {
    const inPicture = (hear) => (point, event) => hear(point && toPicture(this.view, point), event);
    listen(this.canvas, {
      hears: Object.fromEntries(Object.entries(hears).map(([name, hear]) => [name, inPicture(hear)])),
      moves: { zoom: (factor, point) => this.zoom(factor, point), drag: (...points) => this.#drag(...points) },
      isOpen: () => this.picture !== null,
      pans,
    });
  }

  /** One finger moves, two zoom around the middle between them. */
  #drag(before, point, other) {
    this.#fitted = false;
    const share = other ? 0.5 : 1;
    const moved = {
      ...this.view,
      x: this.view.x + (point.x - before.x) * share,
      y: this.view.y + (point.y - before.y) * share,
    };
    this.view = kept(moved, this.picture, this.#window);
    if (other) {
      const middle = { x: (point.x + other.x) / 2, y: (point.y + other.y) / 2 };
      this.zoom(distance(point, other) / Math.max(1, distance(before, other)), middle);
    }
    this.redraw();
  }
}

function join(one, other) {
  if (!one) return other;
  return {
    left: Math.min(one.left, other.left),
    top: Math.min(one.top, other.top),
    right: Math.max(one.right, other.right),
    bottom: Math.max(one.bottom, other.bottom),
  };
}

function distance(one, other) {
  return Math.hypot(one.x - other.x, one.y - other.y);
}
