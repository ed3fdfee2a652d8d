import { beforeEach, describe, expect, test } from "vitest";

import { EVENT, NodeWarnings } from "../../../web/warnings.js";

/** As much of a document as a list needs. */
function fakeElement() {
  const element = { children: [], hidden: false, addEventListener() {}, closest: () => null };
  element.replaceChildren = (...children) => (element.children = children);
  return element;
}

describe("NodeWarnings", () => {
  let api, node, warnings;

  beforeEach(() => {
    globalThis.document = { createElement: fakeElement };
    const hears = {};
    api = { addEventListener: (kind, heard) => (hears[kind] = heard), tell: (kind, detail) => hears[kind]({ detail }) };
    const root = { getNodeById: (id) => (id === "7" ? node : null) };
    node = { id: 7, graph: root, widgets: [{ name: "steps" }], size: [10, 10], computeSize: () => [10, 10] };
    node.addDOMWidget = (name, _, element) => {
      node.widgets.push({ name, element });
      return node.widgets.at(-1);
    };
    node.removeWidget = (widget) => (node.widgets = node.widgets.filter((each) => each !== widget));
    warnings = new NodeWarnings(api, { rootGraph: () => root, canvas: () => null });
    warnings.attach(node);
  });

  const shown = () => node.widgets.slice(1).flatMap(({ element }) => element.children.map((item) => item.textContent));

  test("are shown as they come, each once, and stay with the result", () => {
    api.tell(EVENT, { node: "7", prompt: "p", text: "first" });
    api.tell(EVENT, { node: "7", prompt: "p", text: "first" });
    api.tell(EVENT, { node: "7", prompt: "p", text: "second" });
    expect(shown()).toEqual(["first", "second"]);
    node.onExecuted({ warnings: ["first", "second"] });
    expect(shown()).toEqual(["first", "second"]);
    expect(node.widgets[1].serialize).toBe(false);
  });

  test("go when the node begins again, and when its result has none", () => {
    node.onExecuted({ warnings: ["old"] });
    api.tell("executing", "7");
    expect(node.widgets).toEqual([{ name: "steps" }]);
    node.onExecuted({ warnings: ["new"] });
    node.onExecuted({ warnings: [] });
    expect(node.widgets).toEqual([{ name: "steps" }]);
  });

  test("come back with a workflow's earlier results", () => {
    warnings.restore({ 7: { warnings: ["kept"] }, 8: { warnings: ["another's"] } });
    expect(shown()).toEqual(["kept"]);
  });

  test("of nodes that are not there concern nobody", () => {
    api.tell(EVENT, { node: "9", prompt: "p", text: "lost" });
    api.tell("executing", null);
    node.onRemoved();
    api.tell(EVENT, { node: "7", prompt: "p", text: "late" });
    node.onExecuted(undefined);
    expect(shown()).toEqual([]);
  });
});
