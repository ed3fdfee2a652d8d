import { describe, expect, test } from "vitest";

import { alsoOn, grow, nodeAt, outputOf, valueOf } from "../../../web/graph.js";

/** A graph as LiteGraph has it: nodes by number, a subgraph behind some of them. */
function graph(nodes, id) {
  return { id, getNodeById: (key) => nodes[key] ?? null };
}

describe("nodeAt", () => {
  const inner = { id: 3 };
  const nested = { id: 2, subgraph: graph({ 3: inner }) };
  const outer = { id: 1, subgraph: graph({ 2: nested }) };
  const root = graph({ 1: outer });

  test("finds a node through any number of subgraphs", () => {
    expect(nodeAt(root, "1")).toBe(outer);
    expect(nodeAt(root, "1:2:3")).toBe(inner);
  });

  test("is null where the way ends", () => {
    for (const id of ["9", "1:9", "1:2:3:4", "9:1"]) expect(nodeAt(root, id)).toBeNull();
  });

  test("finds nodes of a graph that knows numbers only", () => {
    const strict = { getNodeById: (key) => (key === 7 ? inner : undefined) };
    expect(nodeAt(strict, "7")).toBe(inner);
  });
});

test("outputs are found in the open graph and in subgraphs", () => {
  const root = graph({}, "root");
  const results = { 5: "at the top", "abc:5": "inside" };
  expect(outputOf(results, { id: 5, graph: root }, root)).toBe("at the top");
  expect(outputOf(results, { id: 5, graph: graph({}, "abc") }, root)).toBe("inside");
  expect(outputOf(results, { id: 6, graph: root }, root)).toBeUndefined();
});

describe("valueOf", () => {
  const widgets = [{ name: "steps", value: 0 }];

  test("is the widget's, a false one as well", () => {
    expect(valueOf({ widgets }, "steps")).toBe(0);
    expect(valueOf({ widgets }, "other")).toBeUndefined();
  });

  test("is not known when it comes over a wire, which may have the number 0", () => {
    const input = { name: "steps", widget: { name: "steps" }, link: 0 };
    expect(valueOf({ widgets, inputs: [input] }, "steps")).toBeUndefined();
    expect(valueOf({ widgets, inputs: [{ ...input, link: null }] }, "steps")).toBe(0);
  });
});

test("alsoOn runs behind what was there, with the same this and arguments, and keeps its result", () => {
  const heard = [];
  const node = { id: 8, onExecuted(output) { heard.push([this.id, output]); return "kept"; } }; // prettier-ignore
  alsoOn(node, "onExecuted", (output) => heard.push(["also", output]));
  alsoOn(node, "onRemoved", () => heard.push("removed"));
  expect(node.onExecuted("x")).toBe("kept");
  node.onRemoved();
  expect(heard).toEqual([[8, "x"], ["also", "x"], "removed"]);
});

test("grow makes a node tall enough and never smaller", () => {
  const node = (size) => ({ size, computeSize: () => [200, 300], setSize(to) { this.size = to; } }); // prettier-ignore
  const small = node([400, 100]);
  const large = node([100, 500]);
  grow(small);
  grow(large);
  expect(small.size).toEqual([400, 300]);
  expect(large.size).toEqual([100, 500]);
});
