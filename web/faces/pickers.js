/** One face picker per Instance Mask node, kept in step with the node's result and its `face_index`. */

import { addPart, alsoOn, grow, hidePreview, outputOf, valueOf, widgetOf } from "../graph.js";
import { picturesOf } from "./boxes.js";
import { FacePicker } from "./picker.js";

const WIDGET = "maskloss_faces";
const CHOICE = "face_index";

export class FacePickers {
  /** Of the editor what `TrainingPanels` takes. */
  constructor(editor) {
    this.#editor = editor;
  }

  #editor;
  #pickers = new Map();

  /** Give a node its picker, in place of ComfyUI's own preview of the same pictures. */
  attach(node) {
    const { locale, pictureUrl, canvas } = this.#editor;
    const picker = new FacePicker({ locale: locale(), pictureUrl, choose: (index) => choose(node, index) });
    addPart(node, WIDGET, picker.element, () => picker.height, canvas, true);
    hidePreview(node);
    const mark = () => picker.mark(valueOf(node, CHOICE));
    alsoOn(widgetOf(node, CHOICE), "callback", mark);
    alsoOn(node, "onConfigure", mark);
    alsoOn(node, "onConnectionsChange", mark);
    alsoOn(node, "onExecuted", (output) => this.#show(node, output));
    alsoOn(node, "onAdded", () => this.#pickers.set(node, picker));
    alsoOn(node, "onRemoved", () => this.#pickers.delete(node));
    this.#pickers.set(node, picker);
    mark();
  }

  /** A workflow's earlier results are back: show those of its nodes. */
  restore(nodeOutputs) {
    for (const node of this.#pickers.keys()) {
      const output = outputOf(nodeOutputs, node, this.#editor.rootGraph());
      if (output) this.#show(node, output);
    }
  }

  #show(node, output) {
    const picker = this.#pickers.get(node);
    const height = picker?.height;
    picker?.show(picturesOf(output));
    if (picker && picker.height > height) grow(node);
  }
}

function choose(node, index) {
  const widget = widgetOf(node, CHOICE);
  widget.value = index;
  widget.callback?.(index);
  node.graph?.setDirtyCanvas(true, true);
}
