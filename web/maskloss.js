/** MaskLoss in ComfyUI's graph editor: this file only ties the parts to ComfyUI. */

import { api } from "/scripts/api.js";
import { app } from "/scripts/app.js";

import { FacePickers } from "./faces/pickers.js";
import { TrainingPanels } from "./training/panels.js";
import { Viewers } from "./viewer/viewers.js";
import { NodeWarnings } from "./warnings.js";

for (const sheet of ["./maskloss.css", "./viewer/viewer.css"]) {
  const style = document.createElement("link");
  style.rel = "stylesheet";
  style.href = new URL(sheet, import.meta.url).href;
  document.head.append(style);
}

const editor = {
  rootGraph: () => app.rootGraph ?? app.graph,
  canvas: () => app.canvas,
  locale: () => app.extensionManager?.setting?.get("Comfy.Locale") ?? "en",
  pictureUrl: (place) => api.apiURL(`/view?${new URLSearchParams(place)}`),
};
const panels = new TrainingPanels(api, editor);
const pickers = new FacePickers(editor);
const warnings = new NodeWarnings(api, editor);
const viewers = new Viewers(api, editor);

app.registerExtension({
  name: "MaskLoss",
  commands: [
    { id: "MaskLoss.Viewer", label: "MaskLoss: look through and correct", icon: "pi pi-images", function: () => viewers.open() },
  ],
  keybindings: [{ commandId: "MaskLoss.Viewer", combo: { key: "l", alt: true, shift: true } }],
  nodeCreated(node) {
    viewers.attach(node);
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
    viewers.restore(nodeOutputs);
  },
});
