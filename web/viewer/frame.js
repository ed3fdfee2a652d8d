/** The window around the viewer's parts: title, what is being saved, what has to be said, and the keys that stay in it. */

import { button, made } from "./elements.js";

export class Frame {
  /** `does(command)`; `keys` are {down(event), up(event)}. */
  constructor(words, does, keys) {
    this.#words = words;
    this.element = made("dialog", "maskloss-viewer");
    this.element.setAttribute("aria-label", words.title);
    this.#title = made("h2", "", words.title);
    this.#message = made("output", "maskloss-message");
    this.#message.setAttribute("role", "status");
    this.#count = made("span", "maskloss-count");
    const head = made("header");
    head.append(
      this.#title, this.#message, button("‹", words.previous, () => does("previous")), this.#count,
      button("›", words.next, () => does("next")), button("✕", words.close, () => does("close")),
    );
    this.#banner = made("div", "maskloss-banner");
    this.#banner.setAttribute("role", "alert");
    this.#banner.hidden = true;
    this.#main = made("main");
    this.element.append(head, this.#main);
    this.#keep(keys);
  }

  #words;
  #title;
  #message;
  #count;
  #banner;
  #main;

  /** The list on the left, and what is above and below what has to be said. */
  fill(list, above, below) {
    this.#main.before(list);
    this.#main.append(...above, this.#banner, ...below);
  }

  open(title) {
    if (!this.element.isConnected) document.body.append(this.element);
    if (!this.element.open) this.element.showModal();
    this.status("");
    this.note("");
    this.call(title);
  }

  call(title) {
    this.#title.textContent = title ? `${this.#words.title}: ${title}` : this.#words.title;
  }

  /** A `Saver`'s state. */
  status(state, error) {
    this.#message.dataset.state = state;
    const text = this.#words[state] ?? "";
    this.#message.textContent = error && state === "refused" ? `${text} ${error.message}` : text;
  }

  /** Say something until the next time, with buttons to answer. */
  note(text, ...buttons) {
    this.#banner.hidden = text === "";
    this.#banner.replaceChildren(made("span", "", text), ...buttons);
  }

  /** There is nothing to be seen, and why. */
  empty(text) {
    this.element.dataset.empty = "true";
    this.note(text);
  }

  count(at, all) {
    this.#count.textContent = this.#words.of(at, all);
  }

  /** ComfyUI's own keys and copying of nodes are not meant here. */
  #keep({ down, up }) {
    const hears = { keydown: down, keyup: up };
    for (const kind of ["keydown", "keyup", "keypress", "copy", "paste", "cut", "pointerdown", "wheel"]) {
      this.element.addEventListener(kind, (event) => {
        event.stopPropagation();
        hears[kind]?.(event);
      });
    }
    // Escape is one of the viewer's keys.
    this.element.addEventListener("cancel", (event) => event.preventDefault());
  }
}
