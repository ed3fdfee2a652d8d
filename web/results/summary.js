/** What a node says of its result when it is done: a few lines, a table whose rows open, a report to go to. */

import { linesOf, rowsOf } from "./table.js";
import { wordsOf } from "./words.js";

/** Heights in CSS pixels. */
const PX = Object.freeze({ line: 15, row: 19, pictures: 76, link: 24, around: 14 });
const MOST_LINES = 7;
const MOST_ROWS_SEEN = 6;

export class Summary {
  /** `reportUrl({id}, file)` is where a file of a report lies; `locale` the front end's language. */
  constructor({ locale, reportUrl }) {
    this.element = made("div", "maskloss-summary");
    this.#words = wordsOf(locale);
    this.#reportUrl = reportUrl;
  }

  #words;
  #reportUrl;
  #height = 0;

  /** Show of a node's output what there is: {said: [texts], table: [rows], report: [{id, page, pictures}]}. */
  show({ said = [], table = [], report = [] } = {}) {
    const parts = [];
    let height = 0;
    for (const one of report) {
      parts.push(this.#report(one));
      height += PX.link + (one.pictures.length ? PX.pictures : 0);
    }
    if (said.length > 0) {
      parts.push(this.#lines(said));
      height += PX.line * Math.min(MOST_LINES, linesOf(said)) + 2;
    }
    if (table.length > 0) {
      parts.push(this.#table(table));
      height += PX.row * Math.min(MOST_ROWS_SEEN, table.length) + 6;
    }
    this.element.replaceChildren(...parts);
    this.#height = parts.length ? height + PX.around : 0;
  }

  /** The height at which it can be read, with scroll bars where there is much; 0 where there is nothing. */
  get height() {
    return this.#height;
  }

  #report({ id, page, pictures }) {
    const part = made("div", "maskloss-report");
    const link = (file, className) => {
      const one = made("a", className);
      Object.assign(one, { href: this.#reportUrl(id, file), target: "_blank", rel: "noopener" });
      return one;
    };
    if (pictures.length > 0) {
      const row = link(page, "maskloss-report-pictures");
      row.title = this.#words.page;
      for (const file of pictures) {
        const picture = made("img");
        Object.assign(picture, { src: this.#reportUrl(id, file), alt: "", loading: "lazy" });
        row.append(picture);
      }
      part.append(row);
    }
    const name = link(page, "maskloss-report-link");
    name.textContent = this.#words.open;
    name.title = this.#words.page;
    part.append(name);
    return part;
  }

  #lines(said) {
    const list = made("ul", "maskloss-said");
    list.style.maxHeight = `${PX.line * MOST_LINES}px`;
    list.append(...said.map((text) => made("li", "", text)));
    return list;
  }

  #table(table) {
    const { rows, more } = rowsOf(table, this.#words);
    const part = made("div", "maskloss-table");
    part.setAttribute("role", "group");
    part.setAttribute("aria-label", this.#words.rows(table.length));
    part.style.maxHeight = `${PX.row * MOST_ROWS_SEEN}px`;
    for (const { name, state, good, score, share, reason } of rows) {
      const row = made("details");
      row.dataset.good = String(good);
      const head = made("summary");
      head.append(made("b", "", state), made("span", "maskloss-name", name), made("span", "", score), made("span", "", share));
      row.append(head, made("p", "", reason));
      part.append(row);
    }
    if (more > 0) part.append(made("p", "", this.#words.more(more)));
    return part;
  }
}

function made(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text) element.textContent = text;
  return element;
}
