/** MaskLoss in ComfyUI's graph editor: this file only ties the parts to ComfyUI. */

import { api } from "/scripts/api.js";
import { app } from "/scripts/app.js";

import { FacePickers } from "./faces/pickers.js";
import { TrainingPanels } from "./training/panels.js";
import { NodeWarnings } from "./warnings.js";

const style = document.createElement("link");
style.rel = "stylesheet";
style.href = new URL("./maskloss.css", import.meta.url).href;
document.head.append(style);

const editor = {
  rootGraph: () => app.rootGraph ?? app.graph,
  canvas: () => app.canvas,
  locale: () => app.extensionManager?.setting?.get("Comfy.Locale") ?? "en",
  pictureUrl: (place) => api.apiURL(`/view?${new URLSearchParams(place)}`),
};
const panels = new TrainingPanels(api, editor);
const pickers = new FacePickers(editor);
const warnings = new NodeWarnings(api, editor);

app.registerExtension({
  name: "MaskLoss",
  nodeCreated(node) {
    if (node.comfyClass === "MaskLossInstanceMask") pickers.attach(node);
    // A trainer's panel shows its warnings too.
    if (node.comfyClass === "MaskLossTrainLora") panels.attach(node);
    else if (node.comfyClass?.startsWith("MaskLoss")) warnings.attach(node);
  },
  async afterConfigureGraph() {
    await panels.refresh();
  },
  onNodeOutputsUpdated(nodeOutputs) {
    pickers.restore(nodeOutputs);
    warnings.restore(nodeOutputs);
  },
});
