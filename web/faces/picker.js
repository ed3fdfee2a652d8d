/** The numbered faces of a picture, to be chosen by a click. */

import { afterClick, rectangles } from "./boxes.js";
import { wordsOf } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";
/** The least height in CSS pixels, without a result and with one. */
const HEIGHT_PX = { empty: 40, shown: 240 };

export class FacePicker {
  /** `choose(index)` sets the node's `face_index`. */
  constructor({ pictureUrl, locale, choose }) {
    this.#pictureUrl = pictureUrl;
    this.#words = wordsOf(locale);
    this.#choose = choose;
    this.element = made("div", "maskloss-faces");
    this.#hint = made("div", "maskloss-hint");
    this.#picture = drawn("svg", { class: "maskloss-picture", role: "group", preserveAspectRatio: "xMidYMid meet" });
    this.#pages = made("div", "maskloss-pages");
    this.#page = made("span");
    this.#pages.append(this.#turner("‹", -1), this.#page, this.#turner("›", 1));
    this.element.append(this.#picture, this.#pages, this.#hint);
    this.show(null);
  }

  #pictureUrl;
  #words;
  #choose;
  #pictures = null;
  #at = 0;
  #chosen = -1;
  #hint;
  #picture;
  #pages;
  #page;

  /** Show pictures as `picturesOf` gives them; null is none. */
  show(pictures) {
    this.#pictures = pictures;
    this.#at = 0;
    this.element.dataset.state = pictures ? "shown" : "none";
    this.element.style.minHeight = `${this.height}px`;
    this.#turn(0);
  }

  /** Mark the face that `face_index` names; undefined where it comes over a wire and no click can set it. */
  mark(index) {
    this.#chosen = index;
    this.element.dataset.wired = String(index === undefined);
    for (const box of this.#picture.querySelectorAll("rect")) {
      box.setAttribute("aria-pressed", String(Number(box.dataset.index) === index));
    }
    this.#tell(null);
  }

  /** The least height in CSS pixels. */
  get height() {
    return this.#pictures ? HEIGHT_PX.shown : HEIGHT_PX.empty;
  }

  #turn(by) {
    const count = this.#pictures?.length ?? 0;
    this.#pages.hidden = count < 2;
    this.#picture.replaceChildren();
    if (count === 0) return this.#tell(null);
    this.#at = (this.#at + by + count) % count;
    this.#page.textContent = `${this.#at + 1} / ${count}`;
    this.#draw(this.#pictures[this.#at]);
  }

  /** As an SVG the boxes stay on their faces whatever the node's size. */
  #draw({ image, faces, reason }) {
    const href = this.#pictureUrl(image);
    const loaded = new Image();
    loaded.addEventListener("load", () => {
      if (this.#pictures?.[this.#at]?.image !== image) return;
      const { naturalWidth: width, naturalHeight: height } = loaded;
      this.#picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
      const boxes = rectangles(faces, width, height).map((box) => this.#box(box));
      this.#picture.replaceChildren(drawn("image", { href, width, height }), ...boxes);
      this.mark(this.#chosen);
    });
    loaded.src = href;
    this.#picture.setAttribute("aria-label", reason);
  }

  #box({ index, similarity, ...place }) {
    const box = drawn("rect", { ...place, rx: place.width / 20, role: "button", tabindex: 0, "data-index": index });
    box.setAttribute("aria-label", this.#words.face(index, similarity));
    const choose = () => {
      if (this.#chosen !== undefined) this.#choose(afterClick(this.#chosen, index));
    };
    box.addEventListener("click", choose);
    box.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      choose();
    });
    for (const kind of ["pointerenter", "focus"]) box.addEventListener(kind, () => this.#tell({ index, similarity }));
    for (const kind of ["pointerleave", "blur"]) box.addEventListener(kind, () => this.#tell(null));
    return box;
  }

  #tell(face) {
    const words = this.#words;
    if (!this.#pictures) this.#hint.textContent = words.waiting;
    else if (face) this.#hint.textContent = words.face(face.index, face.similarity);
    else if (this.#chosen === undefined) this.#hint.textContent = words.wired;
    else this.#hint.textContent = this.#chosen >= 0 ? words.chosen(this.#chosen) : words.free;
  }

  #turner(text, by) {
    const button = made("button", "", text);
    button.type = "button";
    button.addEventListener("click", () => this.#turn(by));
    return button;
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
