/** What nodes warn of, on each node that does, for as long as its result stands. */

import { addPart, alsoOn, grow, nodeAt, outputOf } from "./graph.js";

export const EVENT = "maskloss.warning";
const WIDGET = "maskloss_warnings";
const LINES_PX = 15;
const MOST_LINES = 6;
const LETTERS_IN_A_LINE = 45;

/** The texts as a list; hidden where there are none. */
export class WarningList {
  constructor() {
    this.element = document.createElement("ul");
    this.element.className = "maskloss-warnings";
    this.element.hidden = true;
  }

  #texts = [];

  /** Show these and nothing else. */
  show(texts) {
    if (texts.length === this.#texts.length && texts.every((text, index) => text === this.#texts[index])) return;
    this.#texts = [...texts];
    this.element.hidden = texts.length === 0;
    this.element.replaceChildren(
      ...texts.map((text) => {
        const item = document.createElement("li");
        item.textContent = text;
        return item;
      }),
    );
  }

  get texts() {
    return this.#texts;
  }

  /** The height in CSS pixels at which they can be read, with a scroll bar where there are many. */
  get height() {
    if (this.#texts.length === 0) return 0;
    const lines = this.#texts.reduce((sum, text) => sum + Math.ceil(text.length / LETTERS_IN_A_LINE), 0);
    return 14 + LINES_PX * Math.min(lines, MOST_LINES);
  }
}

export class NodeWarnings {
  /** `api` is ComfyUI's; of the editor what `TrainingPanels` takes. */
  constructor(api, editor) {
    this.#editor = editor;
    api.addEventListener(EVENT, ({ detail }) => this.#hear(detail));
    // A node that begins says anew what is to be said.
    api.addEventListener("executing", ({ detail }) => this.#at(detail, (node) => this.#show(node, [])));
  }

  #editor;
  #lists = new Map();

  /** Look after a node. */
  attach(node) {
    const list = new WarningList();
    this.#lists.set(node, list);
    alsoOn(node, "onExecuted", (output) => this.#show(node, output?.warnings ?? []));
    alsoOn(node, "onAdded", () => this.#lists.set(node, list));
    alsoOn(node, "onRemoved", () => this.#lists.delete(node));
  }

  /** A workflow's earlier results are back. */
  restore(nodeOutputs) {
    for (const node of this.#lists.keys()) {
      const output = outputOf(nodeOutputs, node, this.#editor.rootGraph());
      if (output?.warnings) this.#show(node, output.warnings);
    }
  }

  #hear({ node: id, text }) {
    this.#at(id, (node) => {
      const { texts } = this.#lists.get(node);
      if (!texts.includes(text)) this.#show(node, [...texts, text]);
    });
  }

  #at(id, does) {
    const node = id === null || id === undefined ? null : nodeAt(this.#editor.rootGraph(), id);
    if (node !== null && this.#lists.has(node)) does(node);
  }

  #show(node, texts) {
    const list = this.#lists.get(node);
    if (!list) return;
    list.show(texts);
    const widget = node.widgets?.find(({ name }) => name === WIDGET);
    if (texts.length === 0) {
      if (widget) node.removeWidget(widget);
    } else {
      // Made when it is needed, because a part without a height would leave a gap.
      if (!widget) addPart(node, WIDGET, list.element, () => list.height, this.#editor.canvas);
      grow(node);
    }
  }
}
