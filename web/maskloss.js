/** MaskLoss in ComfyUI's graph editor: this file only ties the parts to ComfyUI. */

import { api } from "/scripts/api.js";
import { app } from "/scripts/app.js";

import { FacePickers } from "./faces/pickers.js";
import { Summaries } from "./results/summaries.js";
import { orderTemplates } from "./templates.js";
import { TrainingPanels } from "./training/panels.js";
import { Viewers } from "./viewer/viewers.js";
import { NodeWarnings } from "./warnings.js";

for (const sheet of ["./maskloss.css", "./viewer/viewer.css"]) {
  const style = document.createElement("link");
  style.rel = "stylesheet";
  style.href = new URL(sheet, import.meta.url).href;
  document.head.append(style);
}

// Served as /extensions/<the pack's folder>/maskloss.js.
orderTemplates(api, decodeURIComponent(new URL(import.meta.url).pathname.split("/").at(-2)));

const editor = {
  rootGraph: () => app.rootGraph ?? app.graph,
  canvas: () => app.canvas,
  locale: () => app.extensionManager?.setting?.get("Comfy.Locale") ?? "en",
  nodeOutputs: () => app.nodeOutputs,
  reportUrl: (id, file) => api.apiURL(`/maskloss/report/${id}/${file}`),
  pictureUrl: (place) => api.apiURL(`/view?${new URLSearchParams(place)}`),
};
const panels = new TrainingPanels(api, editor);
const pickers = new FacePickers(editor);
const warnings = new NodeWarnings(api, editor);
const summaries = new Summaries(api, editor);
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
    if (!node.comfyClass?.startsWith("MaskLoss")) return;
    // A trainer's panel shows its warnings and its progress too.
    const isTrainer = node.comfyClass === "MaskLossTrainLora";
    (isTrainer ? panels : warnings).attach(node);
    summaries.attach(node, isTrainer);
  },
  async afterConfigureGraph() {
    await Promise.all([panels.refresh(), summaries.refresh()]);
  },
  onNodeOutputsUpdated(nodeOutputs) {
    pickers.restore(nodeOutputs);
    warnings.restore(nodeOutputs);
    summaries.restore(nodeOutputs);
    viewers.restore(nodeOutputs);
  },
});
