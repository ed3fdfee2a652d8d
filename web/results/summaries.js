/** One summary on each node that is done; what a node said on the way goes then. */

import { answerOf } from "../answers.js";
import { addPart, alsoOn, grow, nodeAt, outputOf, widgetOf } from "../graph.js";
import { Summary } from "./summary.js";

const ROUTE = "/maskloss/results";
const WIDGET = "maskloss_summary";
/** ComfyUI's own widget for what a node says of its progress. ComfyUI makes it and never takes it away. */
const PROGRESS = "$$node-text-preview";

export class Summaries {
  /**
   * `api` is ComfyUI's. Of the editor what `TrainingPanels` takes, and `nodeOutputs()`: ComfyUI's results by place;
   * `reportUrl(id, file)`: where a file of a report lies.
   */
  constructor(api, editor) {
    this.#api = api;
    this.#editor = editor;
    for (const kind of ["execution_error", "execution_interrupted", "execution_success"]) {
      api.addEventListener(kind, () => this.#summaries.forEach((_, node) => clearProgress(node)));
    }
    // What was said in between is lost.
    api.addEventListener("reconnected", () => this.refresh());
    api.addEventListener("progress_text", ({ detail }) => this.#hide(detail?.nodeId));
  }

  #api;
  #editor;
  #summaries = new Map();
  /** Nodes whose progress a panel shows better. */
  #paneled = new WeakSet();

  /** Look after a node; `paneled` where a panel shows its progress. */
  attach(node, paneled = false) {
    const summary = new Summary({ locale: this.#editor.locale(), reportUrl: this.#editor.reportUrl });
    this.#summaries.set(node, summary);
    if (paneled) this.#paneled.add(node);
    alsoOn(node, "onExecuted", (output) => {
      clearProgress(node);
      this.#show(node, output);
    });
    alsoOn(node, "onAdded", () => this.#summaries.set(node, summary));
    alsoOn(node, "onRemoved", () => this.#summaries.delete(node));
  }

  /** A workflow's earlier results are back. */
  restore(nodeOutputs) {
    for (const node of this.#summaries.keys()) {
      const output = outputOf(nodeOutputs, node, this.#editor.rootGraph());
      if (output) this.#show(node, output);
    }
  }

  /** A workflow was opened: give its nodes what the server knows they showed, where ComfyUI has nothing. */
  async refresh() {
    const workflow = this.#editor.rootGraph()?.id;
    if (!workflow || this.#summaries.size === 0) return;
    const answer = await answerOf(this.#api, `${ROUTE}/${encodeURIComponent(workflow)}`);
    const root = this.#editor.rootGraph();
    if (!answer || root?.id !== workflow) return;
    for (const [id, output] of Object.entries(answer.nodes)) {
      const node = nodeAt(root, id);
      if (!node || node.comfyClass !== answer.classes[id] || !this.#summaries.has(node) || outputOf(this.#editor.nodeOutputs(), node, root)) continue;
      // As the server tells it when a node ends, so that ComfyUI shows its own part of it, the pictures, too.
      const detail = { node: id, display_node: id, output, prompt_id: "" };
      this.#api.dispatchEvent(new CustomEvent("executed", { detail }));
    }
  }

  #show(node, output) {
    const summary = this.#summaries.get(node);
    if (!summary) return;
    summary.show(output ?? {});
    const widget = widgetOf(node, WIDGET);
    if (summary.height === 0) {
      if (widget) node.removeWidget(widget);
      return;
    }
    // Made when it is needed, because a part without a height would leave a gap.
    if (!widget) addPart(node, WIDGET, summary.element, () => summary.height, this.#editor.canvas);
    grow(node);
  }

  /** ComfyUI's own listener, which makes the widget, may come after this one. */
  #hide(id) {
    queueMicrotask(() => {
      const node = id === undefined ? null : nodeAt(this.#editor.rootGraph(), id);
      const widget = node && this.#paneled.has(node) ? widgetOf(node, PROGRESS) : null;
      if (!widget || widget.hidden) return;
      widget.hidden = true;
      widget.options.hidden = true;
    });
  }
}

function clearProgress(node) {
  const widget = widgetOf(node, PROGRESS);
  if (!widget) return;
  node.removeWidget(widget);
  node.setDirtyCanvas?.(true, true);
}
