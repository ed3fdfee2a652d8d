/** The window in which a dataset is looked through and corrected. */

import { commandsOf, LOOKS } from "./commands.js";
import { OpenDataset } from "./dataset.js";
import { Details } from "./details.js";
import { button } from "./elements.js";
import { Film } from "./film.js";
import { Frame } from "./frame.js";
import { Gallery } from "./gallery.js";
import { Hands } from "./hands.js";
import { Helper } from "./help.js";
import { Keyboard } from "./keyboard.js";
import { Painter } from "./painter.js";
import { Remarks } from "./remarks.js";
import { Stage } from "./stage.js";
import { Toolbar } from "./toolbar.js";
import { Chooser } from "./who.js";
import { wordsOf } from "./words.js";

/** Masks are loaded where the slider has come to rest for so long. */
const SETTLED_MS = 120;

export class Viewer {
  /** `client` is a `Client`, or a `PageClient`, with which everything is `readOnly`. */
  constructor(client, locale, readOnly = false) {
    this.#words = readOnly ? { ...wordsOf(locale), ...wordsOf(locale).readOnly } : wordsOf(locale);
    this.#client = client;
    this.#readOnly = readOnly;
    this.#build();
    client.listen((change) => this.#hear(change));
    window.addEventListener("beforeunload", (event) => {
      if (!this.#painter.isSaved) event.preventDefault();
    });
  }

  #words;
  #client;
  #readOnly;
  #data = null;
  #at = -1;
  #opening = 0;
  #frame;
  #gallery;
  #stage;
  #tools;
  #painter;
  #hands;
  #commands;
  #details;
  #remarks;
  #film;
  #keyboard;

  /** Open a dataset by its id; one that is not known says so. */
  async open(dataset) {
    this.#frame.open();
    if (!dataset) return this.#frame.empty(this.#words.runOnce);
    try {
      this.#data = new OpenDataset(this.#client, await this.#client.list(dataset), (item, mask) => {
        this.#gallery.update(item, mask);
        if (item === this.item) this.#told();
      });
      this.#gallery.items = this.#data.items;
      this.#tools.setTiers(this.#data.tiers);
      this.#stage.look.tiers = this.#data.tiers;
      this.#frame.call(this.#data.title);
      this.#choose();
    } catch (error) {
      this.#frame.empty(error.message);
    }
  }

  /** Close the window; what is not kept yet goes on being sent. */
  async close() {
    this.#opening++;
    this.element.close();
    const leaving = this.#leave();
    this.#stage.close();
    this.#gallery.shown = [];
    this.#at = -1;
    await leaving;
  }

  get element() {
    return this.#frame.element;
  }

  get item() {
    return this.#gallery.shown[this.#at] ?? null;
  }

  #build() {
    const words = this.#words;
    const does = (command) => this.#do(command);
    const keys = { down: (event) => this.#keyboard.down(event), up: (event) => this.#keyboard.up(event) };
    this.#frame = new Frame(words, does, keys);
    this.#gallery = new Gallery(words, {
      source: {
        thumbnail: (item) => this.#data.thumbnail(item),
        mask: async (item) => {
          const mask = await this.#data.maskThumbnail(item);
          if (item === this.item) this.#told();
          return mask;
        },
      },
      opens: (index) => this.#goTo(index),
      chosen: () => this.#choose(),
    });
    const hear = (name) => [name, (point, event) => this.#hands[name](point, event)];
    const hears = Object.fromEntries(["start", "move", "end", "hover"].map(hear));
    this.#stage = new Stage(hears, (event) => this.#hands.pans(event));
    this.#stage.canvas.setAttribute("aria-label", words.picture);
    this.#tools = new Toolbar(words, does, this.#readOnly);
    this.#tools.setLook(this.#stage.look);
    this.#painter = new Painter(this.#stage, this.#tools);
    const paints = this.#painter;
    const who = new Chooser(this.#stage, () => this.item, (index) => this.#remarks.choosePerson(index));
    const help = new Helper(words, this.#stage, this.#tools, paints, this.#frame, (pointing) => this.#propose(pointing));
    this.#hands = new Hands(this.#stage, this.#tools, { brush: paints, polygon: paints, fill: paints, who, help });
    this.#keyboard = new Keyboard(this.#hands, { does, leave: () => this.#stage.canvas.focus() });
    this.#film = new Film(words, { turns: () => this.#turn(), asks: (item) => this.#data.timeline(item), does });
    this.#commands = commandsOf(this.#stage, this.#tools, paints, help, this.#film, {
      go: (by) => this.#go(by),
      close: () => this.close(),
      mark: (change) => this.#remarks.mark(change),
      nextFace: () => who.next(),
      revert: () => this.item?.revision && window.confirm(words.sure) && this.#decide(this.item, "revert"),
    });
    this.#remarks = new Remarks(words, this.#frame, () => ({ data: this.#data, item: this.item }));
    this.#details = new Details(words, {
      caption: (text) => this.#remarks.writeCaption(text),
      marks: (change) => this.#remarks.mark(() => change),
    }, this.#readOnly);
    const below = [this.#stage, this.#film, this.#details];
    this.#frame.fill(this.#gallery.element, [this.#tools.element], below.map(({ element }) => element));
  }

  /** Show what is filtered now, and go on with the open one where it is among that. */
  #choose() {
    const before = this.item?.id;
    this.#gallery.choose();
    const same = this.#gallery.shown.findIndex(({ id }) => id === before);
    this.#gallery.draw(this.#stage.look.tiers, Math.max(0, same));
    if (same >= 0) {
      this.#at = same;
      this.#told();
    } else this.#goTo(0);
  }

  #go(by) {
    const { length } = this.#gallery.shown;
    if (length > 0) this.#goTo((this.#at + by + length) % length);
  }

  async #goTo(index) {
    const turn = ++this.#opening;
    const leaving = this.#leave();
    this.#at = index;
    const item = this.item;
    this.#frame.note("");
    this.#gallery.select(index);
    this.element.dataset.ready = "false";
    this.#told();
    this.#film.show(this.#readOnly ? null : item);
    if (!item || item.error) {
      this.#stage.close();
      return this.#frame.empty(item?.error || this.#words.nothing);
    }
    this.element.dataset.empty = "false";
    this.#stage.look.bucket = item.bucket;
    this.#stage.open(item, this.#draws(item));
    await leaving;
    await this.#load(turn, item);
  }

  #draws(item) {
    const [data, { frame }] = [this.#data, this.#film];
    return (came) => data.picture(item, came, frame);
  }

  /** Another frame of the open video. */
  async #turn() {
    const turn = ++this.#opening;
    const leaving = this.#leave();
    this.element.dataset.ready = "false";
    this.#stage.turn(this.#draws(this.item));
    await leaving;
    await new Promise((done) => setTimeout(done, SETTLED_MS));
    await this.#load(turn, this.item);
  }

  async #load(turn, item) {
    if (turn !== this.#opening) return;
    if (item.video && this.#readOnly) return this.#frame.note(this.#words.video);
    try {
      const mask = await this.#data.mask(item, this.#film.frame);
      if (turn !== this.#opening) return;
      this.#begin(item, mask);
      if (item.other_base) this.#askBase(item);
      else if (item.left_out) this.#frame.note(`${this.#words.leftOutFor} ${item.left_out}`);
    } catch (error) {
      if (turn === this.#opening) this.#frame.note(error.message);
    }
  }

  #begin(item, mask) {
    const [data, { frame }] = [this.#data, this.#film];
    this.#painter.begin(item, mask, {
      send: (area, planes, known) => data.paint(item, area, planes, known, frame),
      stale: async () => {
        this.#frame.note(this.#words.elsewhere);
        return data.mask(item, frame);
      },
      told: (state, error) => this.#hearSaver(data, item, frame, state, error),
    });
    this.element.dataset.ready = "true";
  }

  /** Everything of the open item is kept before another one is opened. */
  async #leave() {
    this.#details.leave();
    await this.#painter.leave();
  }

  #hearSaver(data, item, frame, state, error) {
    this.#frame.status(state, error);
    if (state !== "saved") return;
    this.#stage.redraw();
    if (item === this.item) this.#film.painted(frame);
    data.refresh(item, true);
  }

  /** Somebody has changed something; this tab hears of its own changes too. */
  async #hear({ dataset, item: id, revision, client }) {
    const data = this.#data;
    const item = dataset === data?.id && client !== this.#client.name ? data.find(id) : null;
    if (!item) return;
    await data.refresh(item, revision !== null);
    if (item === this.item && revision !== null) this.#film.refresh();
    const { edit, saver, isSaved } = this.#painter;
    if (item !== this.item || revision === null || revision === saver?.revision) return;
    this.#frame.note(this.#words.elsewhere);
    if (edit?.isOpen || !isSaved) return; // it will find out, and paint over it
    const [turn, mask] = [this.#opening, await data.mask(item, this.#film.frame)];
    if (turn === this.#opening && item === this.item) this.#begin(item, mask);
  }

  #told() {
    const { item } = this;
    this.#frame.count(item ? this.#at + 1 : 0, item ? this.#gallery.shown.length : 0);
    this.#details.show(item);
    this.#showFaces();
  }

  #askBase(item) {
    const words = this.#words;
    const keep = button(words.keep, words.keep, () => this.#decide(item, "keep"));
    const revert = button(words.revert, words.revert, () => this.#decide(item, "revert"));
    this.#frame.note(words.otherBaseNow, keep, revert);
  }

  /** Keep the correction over the other mask, or revert it. */
  async #decide(item, end) {
    const { saver } = this.#painter;
    await saver?.save(null);
    try {
      const revision = await this.#data.decide(item, end, saver.revision, this.#film.frame);
      this.#frame.note("");
      this.#film.refresh();
      if (end === "revert") this.#begin(item, await this.#data.mask(item, this.#film.frame));
      else saver.revision = revision;
    } catch (error) {
      this.#frame.note(error.message);
    }
  }

  /** What the server takes the pointing for; null where another item is open by then. */
  async #propose(pointing) {
    const turn = this.#opening;
    const region = await this.#data.propose(this.item, pointing, this.#film.frame);
    return turn === this.#opening ? region : null;
  }

  /** Whose faces can be chosen, while that is what is done. */
  #showFaces() {
    const { item } = this;
    const shown = this.#tools.tool === "who" && item ? item.faces : [];
    this.#stage.faces = shown.map((face) => ({ ...face, byHand: face.index === item.face_by_hand }));
    if (this.#tools.tool === "who" && item?.faces.length === 0) this.#frame.note(this.#words.noFaces);
    this.#stage.point();
  }

  #do(command) {
    if (this.#readOnly && !LOOKS.has(command)) return;
    if (this.#commands[command]) this.#commands[command]();
    else this.#tools.do(command);
    this.#showFaces();
    this.#tools.setLook(this.#stage.look);
    this.#stage.redraw();
  }
}
