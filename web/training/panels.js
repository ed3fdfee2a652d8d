/** One panel per training node, each with the run of its node. */

import { answerOf } from "../answers.js";
import { addPart, alsoOn, grow, hidePreview, nodeAt, valueOf } from "../graph.js";
import { TrainingPanel } from "./panel.js";
import { Runs } from "./series.js";

export const EVENT = "maskloss.training";
const ROUTE = "/maskloss/training";
const WIDGET = "maskloss_training";

export class TrainingPanels {
  /**
   * `api` is ComfyUI's. Of the editor: `rootGraph()` is the graph that is open, `canvas()` LiteGraph's, `locale()` the
   * language, `pictureUrl({filename, subfolder, type})` where a picture lies.
   */
  constructor(api, editor) {
    this.#api = api;
    this.#editor = editor;
    api.addEventListener(EVENT, ({ detail }) => this.#hear(detail));
    // What was said in between is lost.
    api.addEventListener("reconnected", () => this.#ask());
  }

  #api;
  #editor;
  #runs = new Runs();
  #panels = new Map();
  #asked = null;

  /** Give a training node its panel. */
  attach(node) {
    const { locale, pictureUrl, canvas } = this.#editor;
    const panel = new TrainingPanel({ locale: locale(), pictureUrl });
    addPart(node, WIDGET, panel.element, () => panel.height, canvas, true);
    hidePreview(node);
    alsoOn(node, "onAdded", () => this.#follow(node, panel));
    alsoOn(node, "onRemoved", () => {
      panel.disconnect();
      this.#panels.delete(node);
    });
    this.#follow(node, panel);
  }

  /** A workflow was opened: show what the server knows of its nodes. */
  async refresh() {
    if (this.#panels.size > 0) await this.#ask();
  }

  #follow(node, panel) {
    panel.connect();
    this.#panels.set(node, panel);
  }

  #hear(message) {
    if (this.#runs.add(message)) this.#show();
    else this.#ask();
  }

  /** The whole history of every run; one question at a time. */
  async #ask() {
    this.#asked ??= answerOf(this.#api, ROUTE);
    const answer = await this.#asked.finally(() => (this.#asked = null));
    if (!answer) return;
    this.#runs.replace(answer.runs);
    this.#show();
  }

  #show() {
    const root = this.#editor.rootGraph();
    for (const [node, panel] of this.#panels) {
      const named = valueOf(node, "output_name");
      // The same id in another workflow is another node, which trains under another name.
      const fits = (run) => nodeAt(root, run.node) === node && (!named || run.run === named || panel.shows(run));
      const height = panel.height;
      panel.show(this.#runs.find(fits));
      if (panel.height > height) grow(node);
    }
  }
}
