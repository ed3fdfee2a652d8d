/** The window in which a dataset is looked through and corrected. */

import { Client } from "./client.js";
import { MaskEdit } from "./edit.js";
import { button, checkbox, choice, made, setOptions, slider } from "./elements.js";
import { bucketsOf, choose, counts, FILTERS, ORDERS } from "./filters.js";
import { commandOf } from "./keys.js";
import { Saver } from "./saver.js";
import { Sheet } from "./sheet.js";
import { Stage } from "./stage.js";
import { Toolbar } from "./toolbar.js";
import { brush, fillRegion, growRegions, polygon } from "./tools.js";
import { wordsOf } from "./words.js";

export const EVENT = "maskloss.corrected";
const NAME_LETTERS = 8;
/** A click so near to its first point closes a polygon. */
const CLOSE_PX = 8;

export class Viewer {
  /** `api` is ComfyUI's. */
  constructor(api, locale) {
    this.#words = wordsOf(locale);
    this.#client = new Client(api, Math.random().toString(36).slice(2, 2 + NAME_LETTERS));
    this.#build();
    api.addEventListener(EVENT, ({ detail }) => this.#hear(detail));
    window.addEventListener("beforeunload", (event) => {
      if (this.#saver && !this.#saver.isSaved) event.preventDefault();
    });
  }

  #words;
  #client;
  #dataset = null;
  #items = [];
  #shown = [];
  #at = -1;
  #saver = null;
  #edit = null;
  #chosen = { filter: "all", order: "doubt", bucket: "", text: "" };
  #last = null;
  #space = false;
  #opening = 0;
  #pen = false;

  /** Open a dataset by its id; one that is not known says so. */
  async open(dataset) {
    if (!this.element.isConnected) document.body.append(this.element);
    if (!this.element.open) this.element.showModal();
    this.#status("");
    this.#note("");
    if (!dataset) return this.#empty(this.#words.runOnce);
    try {
      const told = await this.#client.list(dataset);
      this.#dataset = dataset;
      this.#items = told.items;
      this.#tools.setTiers(told.tiers);
      this.#stage.look.tiers = told.tiers;
      this.#title.textContent = `${this.#words.title}: ${told.title}`;
      this.#choose();
    } catch (error) {
      this.#empty(error.message);
    }
  }

  /** Close the window; what is not kept yet goes on being sent. */
  async close() {
    this.#opening++;
    this.element.close();
    const leaving = this.#leave();
    this.#stage.close();
    this.#edit = null;
    this.#shown = [];
    this.#at = -1;
    await leaving;
  }

  get item() {
    return this.#shown[this.#at] ?? null;
  }

  #build() {
    const words = this.#words;
    this.element = made("dialog", "maskloss-viewer");
    this.element.setAttribute("aria-label", words.title);
    this.#title = made("h2");
    this.#message = made("output", "maskloss-message");
    this.#message.setAttribute("role", "status");
    const head = made("header");
    const closer = button("✕", words.close, () => this.close());
    this.#count = made("span", "maskloss-count");
    head.append(
      this.#title, this.#message, button("‹", words.previous, () => this.#go(-1)), this.#count,
      button("›", words.next, () => this.#go(1)), closer,
    );
    this.#sheet = new Sheet({
      label: words.filter,
      chosen: (index) => this.#goTo(index),
      source: {
        thumbnail: (item) => this.#client.url(this.#dataset, item.id, "thumbnail"),
        mask: async (item) => {
          const mask = await this.#client.maskThumbnail(this.#dataset, item.id);
          item.coverage = mask.coverage;
          if (item === this.item) this.#told();
          return mask;
        },
      },
    });
    const list = made("aside", "maskloss-list");
    list.append(this.#filters(), this.#sheet.element);
    this.#stage = new Stage(
      {
        start: (point, event) => this.#start(point, event),
        move: (point) => this.#move(point),
        end: (point) => this.#end(point),
        hover: (point, event) => this.#hover(point, event),
      },
      (event) => this.#space || this.#tools.tool === "move" || !this.#edit || (event.pointerType === "touch" && this.#pen),
    );
    this.#stage.canvas.setAttribute("aria-label", words.picture);
    this.#tools = new Toolbar(words, (command) => this.#do(command));
    this.#tools.setLook(this.#stage.look);
    this.#banner = made("div", "maskloss-banner");
    this.#banner.setAttribute("role", "alert");
    this.#banner.hidden = true;
    const main = made("main");
    main.append(this.#tools.element, this.#banner, this.#stage.element, this.#details());
    this.element.append(head, list, main);
    this.element.addEventListener("keydown", (event) => this.#key(event));
    this.element.addEventListener("keyup", (event) => {
      event.stopPropagation();
      if (event.key === " ") this.#space = false;
      if (event.key.toLowerCase() === "x") this.#before(false);
    });
    this.element.addEventListener("cancel", (event) => event.preventDefault());
    for (const kind of ["keypress", "copy", "paste", "cut", "pointerdown", "wheel"]) {
      this.element.addEventListener(kind, (event) => event.stopPropagation());
    }
  }

  #title;
  #message;
  #count;
  #sheet;
  #stage;
  #tools;
  #banner;
  #filter;
  #bucket;
  #caption;
  #done;
  #out;
  #facts;

  #filters() {
    const words = this.#words;
    const bar = made("div", "maskloss-filters");
    const set = (what) => (value) => {
      this.#chosen[what] = value;
      this.#choose();
    };
    const names = (of, all) => Object.keys(all).map((name) => [name, of[name]]);
    this.#filter = choice(words.filter, names(words.filters, FILTERS), set("filter"));
    this.#bucket = choice(words.bucket, [["", words.everyBucket]], set("bucket"));
    const search = made("input");
    Object.assign(search, { type: "search", placeholder: words.search });
    search.setAttribute("aria-label", words.search);
    search.addEventListener("input", () => set("text")(search.value));
    bar.append(this.#filter, choice(words.order, names(words.orders, ORDERS), set("order")), this.#bucket, search);
    return bar;
  }

  #details() {
    const words = this.#words;
    const details = made("footer");
    this.#facts = made("p", "maskloss-facts");
    this.#caption = made("textarea");
    this.#caption.rows = 2;
    this.#caption.placeholder = words.caption;
    this.#caption.setAttribute("aria-label", words.caption);
    this.#caption.addEventListener("change", () => this.#keepCaption());
    const mark = (what) => (value) => this.#mark({ [what]: value });
    const done = checkbox(words.done, mark("done"));
    const out = checkbox(words.leftOut, mark("left_out"));
    [this.#done, this.#out] = [done.box, out.box];
    const marks = made("div", "maskloss-marks");
    marks.append(done.element, out.element);
    details.append(this.#facts, this.#caption, marks);
    return details;
  }

  /** The filter, the order or the items have changed: show those, and go on with the open one where it is among them. */
  #choose() {
    const words = this.#words;
    const before = this.item?.id;
    const number = counts(this.#items);
    setOptions(this.#filter, Object.keys(FILTERS).map((name) => [name, `${words.filters[name]} (${number[name]})`]));
    const buckets = bucketsOf(this.#items).map((name) => [name, name.replace("x", " × ")]);
    setOptions(this.#bucket, [["", words.everyBucket], ...buckets]);
    this.#shown = choose(this.#items, this.#chosen);
    const same = this.#shown.findIndex(({ id }) => id === before);
    this.#sheet.show(this.#shown, this.#stage.look.tiers, Math.max(0, same));
    if (same >= 0) {
      this.#at = same;
      this.#told();
    } else this.#goTo(0);
  }

  #go(by) {
    if (this.#shown.length > 0) this.#goTo((this.#at + by + this.#shown.length) % this.#shown.length);
  }

  async #goTo(index) {
    const turn = ++this.#opening;
    const leaving = this.#leave();
    this.#at = index;
    const item = this.item;
    this.#note("");
    this.#sheet.select(index);
    this.#edit = null;
    this.element.dataset.ready = "false";
    this.#told();
    if (!item || item.error) {
      this.#stage.close();
      return this.#empty(item?.error || this.#words.nothing);
    }
    this.element.dataset.empty = "false";
    const tile = (place) => {
      const { level, column, row } = place;
      return this.#client.url(this.#dataset, item.id, "tile", { level, column, row });
    };
    this.#stage.look.bucket = item.bucket;
    this.#stage.open(item, tile);
    await leaving;
    if (turn !== this.#opening) return;
    if (item.video) return this.#note(this.#words.video);
    try {
      const mask = await this.#client.mask(this.#dataset, item);
      if (turn !== this.#opening) return;
      this.#begin(item, mask);
      if (item.other_base) this.#askBase(item);
      else if (item.left_out) this.#note(`${this.#words.leftOutFor} ${item.left_out}`);
    } catch (error) {
      if (turn === this.#opening) this.#note(error.message);
    }
  }

  #begin(item, { base, values, painted, revision }) {
    const dataset = this.#dataset;
    this.#last = null;
    this.#edit = new MaskEdit(item.width, item.height, base, values, painted);
    this.#stage.show(this.#edit);
    this.#saver = new Saver({
      edit: this.#edit,
      revision,
      send: (area, planes, known) => this.#client.paint(dataset, item.id, area, planes, known),
      stale: async () => {
        this.#note(this.#words.elsewhere);
        return this.#client.mask(dataset, item);
      },
      told: (state, error) => this.#hearSaver(item, state, error),
    });
    this.#tools.setHistory(this.#edit);
    this.element.dataset.ready = "true";
  }

  /** Everything of the open item is kept before another one is opened. */
  async #leave() {
    if (document.activeElement === this.#caption) this.#caption.blur();
    const saver = this.#saver;
    this.#saver = null;
    await saver?.close();
  }

  #hearSaver(item, state, error) {
    this.#status(state, error);
    if (state !== "saved" || !this.#edit) return;
    this.#stage.redraw();
    this.#refresh(item, true);
  }

  /** What the server knows of an item now. */
  async #refresh(item, mask) {
    const fresh = await this.#client.facts(this.#dataset, item.id).catch(() => null);
    if (!fresh) return;
    if (mask) fresh.coverage = null;
    else fresh.coverage ??= item.coverage;
    Object.assign(item, fresh);
    this.#sheet.update(item, mask);
    if (item === this.item) this.#told();
  }

  /** Somebody has changed something; this tab hears of its own changes too. */
  async #hear({ dataset, item: id, revision, client }) {
    const item = this.#items.find((each) => each.id === id);
    if (dataset !== this.#dataset || client === this.#client.name || !item) return;
    await this.#refresh(item, revision !== null);
    if (item !== this.item || revision === null || revision === this.#saver?.revision) return;
    this.#note(this.#words.elsewhere);
    if (this.#edit?.isOpen || (this.#saver && !this.#saver.isSaved)) return; // it will find out, and paint over it
    const mask = await this.#client.mask(this.#dataset, item);
    if (item === this.item) this.#begin(item, mask);
  }

  #told() {
    const item = this.item;
    const words = this.#words;
    this.#count.textContent = item ? words.of(this.#at + 1, this.#shown.length) : words.of(0, 0);
    this.#caption.disabled = !item;
    this.#done.disabled = this.#out.disabled = !item;
    if (!item) return;
    if (document.activeElement !== this.#caption) this.#caption.value = item.caption;
    this.#done.checked = item.done;
    this.#out.checked = item.by_hand;
    const facts = [item.name, words.facts(item), words.masks[item.mask]];
    if (item.coverage !== null) facts.push(words.coverage(item.coverage));
    if (item.faces.length > 0) {
      const scores = item.faces.map(({ similarity, chosen }) => (similarity?.toFixed(2) ?? "–") + (chosen ? "★" : ""));
      facts.push(scores.join(" "));
    }
    if (item.reason) facts.push(item.reason);
    this.#facts.textContent = facts.join(" · ");
  }

  #empty(text) {
    this.element.dataset.empty = "true";
    this.#note(text);
  }

  #status(state, error) {
    this.#message.dataset.state = state;
    const text = this.#words[state] ?? "";
    this.#message.textContent = error && state === "refused" ? `${text} ${error.message}` : text;
  }

  #note(text, ...buttons) {
    this.#banner.hidden = text === "";
    this.#banner.replaceChildren(made("span", "", text), ...buttons);
  }

  #askBase(item) {
    const words = this.#words;
    const keep = button(words.keep, words.keep, () => this.#post(item, "keep"));
    const revert = button(words.revert, words.revert, () => this.#post(item, "revert"));
    this.#note(words.otherBaseNow, keep, revert);
  }

  async #post(item, end) {
    await this.#saver?.save(null);
    try {
      const { revision } = await this.#client.post(this.#dataset, item.id, end, { revision: this.#saver.revision });
      this.#note("");
      if (end === "revert") this.#begin(item, await this.#client.mask(this.#dataset, item));
      else this.#saver.revision = revision;
      await this.#refresh(item, true);
    } catch (error) {
      this.#note(error.message);
    }
  }

  async #mark(change) {
    const item = this.item;
    if (!item) return;
    const marks = { done: item.done, left_out: item.by_hand, ...change };
    try {
      Object.assign(item, await this.#client.post(this.#dataset, item.id, "marks", marks), { coverage: item.coverage });
      if ("left_out" in change) this.#note(this.#words.rerun);
    } catch (error) {
      this.#note(error.message);
    }
    this.#sheet.update(item, false);
    this.#told();
  }

  async #keepCaption() {
    const item = this.item;
    const text = this.#caption.value;
    if (!item || text === item.caption) return;
    try {
      const fresh = await this.#client.post(this.#dataset, item.id, "caption", { text, was: item.caption });
      Object.assign(item, fresh, { coverage: item.coverage });
      this.#status("saved");
    } catch (error) {
      this.#note(error.message);
      await this.#refresh(item, false);
    }
  }

  #start(point, event) {
    if (!this.#edit) return;
    if (event.pointerType === "pen") this.#pen = true;
    const { tool, value } = this.#tools;
    if (tool === "polygon") {
      const [first] = this.#stage.points;
      const closes = first && Math.hypot(point.x - first.x, point.y - first.y) * this.#stage.view.scale < CLOSE_PX;
      if (closes) return this.#finish();
      this.#stage.points.push(point);
      return this.#stage.point();
    }
    this.#edit.begin();
    if (tool === "fill") {
      this.#changed(fillRegion(this.#edit, point, value));
      return this.#ended();
    }
    // With Shift a straight line from where the last stroke ended.
    const from = event.shiftKey && this.#last ? this.#last : point;
    this.#last = point;
    this.#changed(brush(this.#edit, from, point, this.#tools.radius, value));
  }

  #move(point) {
    if (!this.#edit?.isOpen || this.#tools.tool !== "brush") return;
    this.#changed(brush(this.#edit, this.#last, point, this.#tools.radius, this.#tools.value));
    this.#last = point;
  }

  /** The end of a stroke; null gives it up. */
  #end(point) {
    if (!this.#edit || this.#tools.tool !== "brush") return;
    const area = this.#edit.end();
    if (point === null && area) this.#edit.undo();
    if (area) {
      this.#stage.changed(area);
      this.#save(point === null ? null : area);
    }
  }

  #ended() {
    const area = this.#edit.end();
    if (area) this.#save(area);
    this.#stage.redraw();
  }

  #finish() {
    const { points } = this.#stage;
    this.#stage.points = [];
    if (this.#edit && points.length > 2) {
      this.#edit.begin();
      this.#changed(polygon(this.#edit, points, this.#tools.value));
      this.#ended();
    }
    this.#stage.point();
  }

  #hover(point) {
    const radius = this.#tools.tool === "brush" ? this.#tools.radius : 0;
    this.#stage.cursor = point && this.#edit ? { ...point, radius } : null;
    this.#stage.canvas.style.cursor = this.#tools.tool === "move" || this.#space ? "grab" : "crosshair";
    this.#stage.point();
  }

  #changed(area) {
    if (area) this.#stage.changed(area);
  }

  #save(area) {
    this.#tools.setHistory(this.#edit);
    if (area) this.#saver?.save(area);
  }

  #before(on) {
    if (this.#stage.look.before === on) return;
    this.#stage.look.before = on;
    this.#stage.show(this.#edit);
  }

  #key(event) {
    // ComfyUI's own keys are not meant here.
    event.stopPropagation();
    const inText = event.target.matches("textarea, input[type=search], input[type=number]");
    const command = commandOf(event, inText);
    if (!command || (event.target.matches("select, input[type=range]") && command !== "escape")) return;
    if (event.target.matches("button, input[type=checkbox]") && ["hold", "finish"].includes(command)) return;
    event.preventDefault();
    if (command === "leaveText") this.#stage.canvas.focus();
    else if (command === "hold") this.#space = true;
    else if (command === "before") this.#before(true);
    else this.#do(command);
  }

  #do(command) {
    const { look } = this.#stage;
    const edit = this.#edit;
    const does = {
      next: () => this.#go(1),
      previous: () => this.#go(-1),
      undo: () => edit && this.#restored(edit.undo()),
      redo: () => edit && this.#restored(edit.redo()),
      grow: () => this.#grow(1),
      shrink: () => this.#grow(-1),
      finish: () => this.#finish(),
      back: () => {
        this.#stage.points.pop();
        this.#stage.point();
      },
      overlay: () => (look.overlay = !look.overlay),
      cells: () => (look.cells = !look.cells),
      before: () => this.#before(!look.before),
      fit: () => this.#stage.fit(),
      zoomIn: () => this.#stage.zoom(1.25),
      zoomOut: () => this.#stage.zoom(0.8),
      done: () => this.item && this.#mark({ done: !this.item.done }),
      leftOut: () => this.item && this.#mark({ left_out: !this.item.by_hand }),
      opacity: () => (look.opacity = this.#tools.opacity),
      revert: () => this.item?.revision && window.confirm(this.#words.sure) && this.#post(this.item, "revert"),
      escape: () => (this.#stage.points.length > 0 ? (this.#stage.points = []) : this.close()),
    };
    if (does[command]) does[command]();
    else this.#tools.do(command);
    this.#tools.setLook(look);
    this.#stage.redraw();
  }

  #grow(pixels) {
    if (!this.#edit || this.#tools.value === null) return;
    this.#edit.begin();
    growRegions(this.#edit, this.#tools.value, pixels);
    this.#ended();
  }

  #restored(area) {
    if (!area) return;
    this.#stage.changed(area);
    this.#save(area);
  }
}
