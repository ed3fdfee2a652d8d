/** Finding nodes and widgets in ComfyUI's graph. */

const MIDDLE = 1;
/** Above and below an element in LiteGraph. */
const MARGINS_PX = 16;

/** The node with an execution id, which names the way through subgraphs ("1:2:3"), or null. */
export function nodeAt(rootGraph, executionId) {
  let graph = rootGraph;
  let node = null;
  for (const id of String(executionId).split(":")) {
    node = graph?.getNodeById(id) ?? graph?.getNodeById(Number(id)) ?? null;
    if (node === null) return null;
    graph = node.subgraph;
  }
  return node;
}

/** What a node gave out last, of ComfyUI's results by place: "12", or in a subgraph "<its id>:12". */
export function outputOf(nodeOutputs, node, rootGraph) {
  const place = node.graph === rootGraph ? `${node.id}` : `${node.graph?.id}:${node.id}`;
  return nodeOutputs[place];
}

/** The widget of a name, or undefined. */
export function widgetOf(node, name) {
  return node.widgets?.find((widget) => widget.name === name);
}

/** A widget's value; undefined where there is no such widget or its value comes over a wire. */
export function valueOf(node, name) {
  const wired = node.inputs?.some((input) => (input.widget?.name ?? input.name) === name && input.link != null);
  return wired ? undefined : widgetOf(node, name)?.value;
}

/**
 * Show `element` as the last widget of a node, in both renderers, without a value: neither the workflow nor the prompt
 * knows of it. `height()` is the least height in CSS pixels; `canvas()` is LiteGraph's. A part that `grows` takes what the
 * node has left.
 */
export function addPart(node, name, element, height, canvas, grows = false) {
  const options = { serialize: false, hideOnZoom: false, getMinHeight: height, margin: MARGINS_PX / 2 };
  const widget = node.addDOMWidget(name, name, element, options);
  widget.serialize = false;
  if (!grows) {
    // Both renderers let a widget grow that computes a layout.
    widget.computeLayoutSize = undefined;
    widget.computeSize = (width) => [width ?? node.size[0], height() + MARGINS_PX];
  }
  // LiteGraph's canvas lies behind the element, whereas Nodes 2.0 hears what happens inside its nodes.
  const forward = (event) => {
    if (!element.closest(".dom-widget")) return;
    event.preventDefault();
    canvas().canvas.dispatchEvent(new event.constructor(event.type, event));
  };
  element.addEventListener("wheel", forward);
  for (const kind of ["pointerdown", "pointermove", "pointerup"]) {
    element.addEventListener(kind, (event) => (event.button === MIDDLE || event.buttons & 4) && forward(event));
  }
}

/** ComfyUI's own preview of a node's pictures is left away, because a part shows them. */
export function hidePreview(node) {
  node.hideOutputImages = true;
  node.onDrawBackground = () => undefined;
}

/** Have `called` run behind what the node does in `method` already. */
export function alsoOn(node, method, called) {
  const before = node[method];
  node[method] = function (...given) {
    const result = before?.apply(this, given);
    called(...given);
    return result;
  };
}

/** Make a node at least as tall as its widgets need; never smaller, never narrower. */
export function grow(node) {
  const [width, height] = node.computeSize();
  if (node.size[1] < height) node.setSize([Math.max(node.size[0], width), height]);
  node.setDirtyCanvas?.(true, true);
}
