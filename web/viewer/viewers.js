/** The button that opens the viewer on nodes, the command and its key. */

import { addPart, alsoOn, outputOf } from "../graph.js";
import { Client } from "./client.js";
import { button, made } from "./elements.js";
import { Viewer } from "./viewer.js";
import { wordsOf } from "./words.js";

const WIDGET = "maskloss_viewer";
const HEIGHT_PX = 30;
const NODES = new Set([
  "MaskLossDatasetBuildMasks",
  "MaskLossDatasetKeepPerson",
  "MaskLossKeepPeople",
  "MaskLossPreviewDataset",
  "MaskLossTrainLora",
]);

/** What tells this tab from others. */
function nameOf(number) {
  return number.toString(36).slice(2, 10);
}

export class Viewers {
  /** `api` is ComfyUI's; of the editor what `TrainingPanels` takes. */
  constructor(api, editor) {
    this.#api = api;
    this.#editor = editor;
  }

  #api;
  #editor;
  #viewer = null;
  #attached = new Set();
  /** The dataset that each node gave out last, the newest at the end. */
  #given = new Map();

  /** Give a node its button, where its datasets can be looked at. */
  attach(node) {
    if (!NODES.has(node.comfyClass)) return;
    const words = wordsOf(this.#editor.locale());
    const part = made("div", "maskloss-opener");
    part.append(button(words.open, words.title, () => this.open(node)));
    addPart(node, WIDGET, part, () => HEIGHT_PX, this.#editor.canvas);
    alsoOn(node, "onExecuted", (output) => this.#take(node, output));
    alsoOn(node, "onAdded", () => this.#attached.add(node));
    alsoOn(node, "onRemoved", () => {
      this.#given.delete(node);
      this.#attached.delete(node);
    });
    this.#attached.add(node);
  }

  /** A workflow's earlier results are back. */
  restore(nodeOutputs) {
    for (const node of this.#attached) this.#take(node, outputOf(nodeOutputs, node, this.#editor.rootGraph()));
  }

  /** Open what a node gave out, or the nearest node before it; without a node the selected one's, or the newest. */
  open(node = null) {
    this.#viewer ??= new Viewer(new Client(this.#api, nameOf(Math.random())), this.#editor.locale());
    const from = node ?? Object.values(this.#editor.canvas().selected_nodes ?? {})[0];
    return this.#viewer.open(this.#nearest(from) ?? [...this.#given.values()].at(-1) ?? null);
  }

  #take(node, output) {
    const [dataset] = output?.viewer ?? [];
    if (!dataset || this.#given.get(node) === dataset) return;
    this.#given.delete(node);
    this.#given.set(node, dataset);
  }

  #nearest(node) {
    const seen = new Set();
    const waiting = node ? [node] : [];
    while (waiting.length > 0) {
      const next = waiting.shift();
      if (!next || seen.has(next)) continue;
      seen.add(next);
      if (this.#given.has(next)) return this.#given.get(next);
      for (let slot = 0; slot < (next.inputs?.length ?? 0); slot++) waiting.push(next.getInputNode?.(slot));
    }
    return null;
  }
}
