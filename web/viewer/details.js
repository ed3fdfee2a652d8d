/** What is known of the open photograph, and what can be said about it: caption, done, left out. */

import { checkbox, made } from "./elements.js";

export class Details {
  /** `hears` are {caption(text), marks({done} or {left_out})}; nobody is heard where it is `readOnly`. */
  constructor(words, hears, readOnly = false) {
    this.#words = words;
    this.element = made("footer");
    this.#facts = made("p", "maskloss-facts");
    this.#caption = made("textarea");
    this.#caption.rows = 2;
    this.#caption.placeholder = words.caption;
    this.#caption.setAttribute("aria-label", words.caption);
    this.#caption.addEventListener("change", () => hears.caption(this.#caption.value));
    const done = checkbox(words.done, (value) => hears.marks({ done: value }));
    const out = checkbox(words.leftOut, (value) => hears.marks({ left_out: value }));
    [this.#done, this.#out] = [done.box, out.box];
    this.#caption.readOnly = readOnly;
    const marks = made("div", "maskloss-marks");
    marks.hidden = readOnly;
    marks.append(done.element, out.element);
    this.element.append(this.#facts, this.#caption, marks);
  }

  #words;
  #facts;
  #caption;
  #done;
  #out;

  /** Show an item of the server's list, or none. */
  show(item) {
    this.#caption.disabled = !item;
    this.#done.disabled = this.#out.disabled = !item;
    if (!item) return;
    if (document.activeElement !== this.#caption) this.#caption.value = item.caption;
    this.#done.checked = item.done;
    this.#out.checked = item.by_hand;
    this.#facts.textContent = factsOf(item, this.#words).join(" · ");
  }

  /** A caption that is being written is written. */
  leave() {
    if (document.activeElement === this.#caption) this.#caption.blur();
  }
}

/** What is said of an item, piece by piece. */
export function factsOf(item, words) {
  const facts = [item.name, words.facts(item), words.masks[item.mask]];
  if (item.coverage !== null) facts.push(words.coverage(item.coverage));
  if (item.faces.length > 0) {
    const scores = item.faces.map(({ similarity, chosen }) => (similarity?.toFixed(2) ?? "–") + (chosen ? "★" : ""));
    facts.push(scores.join(" "));
  }
  if (item.reason) facts.push(item.reason);
  return facts;
}
