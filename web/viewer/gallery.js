/** The items of a dataset to choose from: filter, order, bucket, search, and their thumbnails. */

import { choice, made, setOptions } from "./elements.js";
import { bucketsOf, choose, counts, FILTERS, ORDERS } from "./filters.js";
import { Sheet } from "./sheet.js";

export class Gallery {
  /** `source` is a `Sheet`'s; `opens(index)` hears which of `shown` is to be opened, `chosen()` that others are shown. */
  constructor(words, { source, opens, chosen }) {
    this.#words = words;
    this.#chosen = chosen;
    this.#sheet = new Sheet({ label: words.photographs, chosen: opens, source });
    this.element = made("aside", "maskloss-list");
    this.element.append(this.#bar(), this.#sheet.element);
  }

  #words;
  #chosen;
  #sheet;
  #filter;
  #bucket;
  #wanted = { filter: "all", order: "doubt", bucket: "", text: "" };
  items = [];
  /** Those of `items` that the filter lets through, in their order. */
  shown = [];

  /** The filter, the order or the items have changed. */
  choose() {
    const words = this.#words;
    const number = counts(this.items);
    setOptions(this.#filter, Object.keys(FILTERS).map((name) => [name, `${words.filters[name]} (${number[name]})`]));
    const buckets = bucketsOf(this.items).map((name) => [name, name.replace("x", " × ")]);
    setOptions(this.#bucket, [["", words.everyBucket], ...buckets]);
    this.shown = choose(this.items, this.#wanted);
  }

  /** Draw what is shown, over it the masks in the colours of `tiers`, with the item at `index` as the open one. */
  draw(tiers, index) {
    this.#sheet.show(this.shown, tiers, index);
  }

  select(index) {
    this.#sheet.select(index);
  }

  update(item, mask) {
    this.#sheet.update(item, mask);
  }

  #bar() {
    const words = this.#words;
    const bar = made("div", "maskloss-filters");
    const set = (what) => (value) => {
      this.#wanted[what] = value;
      this.#chosen();
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
}
