/** MaskLoss in ComfyUI's graph editor: this file only ties the parts to ComfyUI. */

import { api } from "/scripts/api.js";
import { app } from "/scripts/app.js";

import { FacePickers } from "./faces/pickers.js";
import { TrainingPanels } from "./training/panels.js";

const rootGraph = () => app.rootGraph ?? app.graph;
const locale = () => app.extensionManager?.setting?.get("Comfy.Locale") ?? "en";

const style = document.createElement("link");
style.rel = "stylesheet";
style.href = new URL("./maskloss.css", import.meta.url).href;
document.head.append(style);

const pictureUrl = (place) => api.apiURL(`/view?${new URLSearchParams(place)}`);
const panels = new TrainingPanels({ api, rootGraph, locale, pictureUrl });
const pickers = new FacePickers({ locale, pictureUrl });

app.registerExtension({
  name: "MaskLoss",
  nodeCreated(node) {
    if (node.comfyClass === "MaskLossTrainLora") panels.attach(node);
    if (node.comfyClass === "MaskLossInstanceMask") pickers.attach(node);
  },
  async afterConfigureGraph() {
    await panels.refresh();
  },
  onNodeOutputsUpdated(nodeOutputs) {
    pickers.restore(nodeOutputs, rootGraph());
  },
});
