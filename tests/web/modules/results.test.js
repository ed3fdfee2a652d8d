import { beforeEach, describe, expect, test } from "vitest";

import { Summaries } from "../../../web/results/summaries.js";
import { MOST_ROWS, linesOf, rowsOf } from "../../../web/results/table.js";
import { wordsOf } from "../../../web/results/words.js";

const WORDS = wordsOf("en");
const row = (more) => ({ name: "a", state: "written", similarity: 0.614, faces: 2, area: 0.4567, reason: "why", ...more });

describe("rowsOf", () => {
  test("says what was decided of each photograph", () => {
    expect(rowsOf([row({})], WORDS).rows).toEqual([
      { name: "a", state: "kept", good: true, score: "0.61", share: "46 %", reason: "why" },
    ]);
    const { rows } = rowsOf([row({ state: "left out", similarity: null, area: 0 }), row({ similarity: null, faces: 0, area: 0.0123 })], WORDS);
    expect(rows.map(({ good, score, share }) => [good, score, share])).toEqual([
      [false, "–", "0.0 %"],
      [true, WORDS.byHand, "1.2 %"],
    ]);
  });

  test("has no more rows than a node can show, and says how many more there are", () => {
    const { rows, more } = rowsOf(Array.from({ length: MOST_ROWS + 7 }, () => row({})), WORDS);
    expect([rows.length, more]).toEqual([MOST_ROWS, 7]);
    expect(rowsOf(undefined, WORDS)).toEqual({ rows: [], more: 0 });
  });
});

test("lines are counted as they break", () => {
  expect(linesOf([])).toBe(0);
  expect(linesOf(["", "short", "x".repeat(53)])).toBe(4);
});

/** As much of a document as a summary needs. */
function fakeElement() {
  const element = { children: [], style: {}, dataset: {}, addEventListener() {}, setAttribute() {}, closest: () => null };
  element.replaceChildren = (...children) => (element.children = children);
  element.append = (...children) => element.children.push(...children);
  return element;
}

const texts = (element) => [element.textContent ?? "", ...element.children.flatMap(texts)].filter(Boolean);

describe("Summaries", () => {
  let api, hears, node, outputs, root, summaries, kept;

  beforeEach(() => {
    globalThis.document = { createElement: fakeElement };
    globalThis.CustomEvent = class {
      constructor(type, { detail }) {
        Object.assign(this, { type, detail });
      }
    };
    hears = {};
    outputs = {};
    kept = {};
    api = {
      asked: [],
      addEventListener: (kind, heard) => (hears[kind] = heard),
      dispatchEvent: ({ type, detail }) => type === "executed" && node.onExecuted(detail.output),
      fetchApi: async (path) => {
        api.asked.push(path);
        return { ok: true, json: async () => ({ nodes: kept, classes: { 7: "Train", 9: "Train" } }) };
      },
    };
    root = { id: "w", getNodeById: (id) => (id === "7" ? node : null) };
    node = { id: 7, comfyClass: "Train", graph: root, widgets: [{ name: "steps" }], size: [10, 10], computeSize: () => [10, 10] };
    node.addDOMWidget = (name, _, element, options) => {
      node.widgets.push({ name, element, options });
      return node.widgets.at(-1);
    };
    node.removeWidget = (widget) => (node.widgets = node.widgets.filter((each) => each !== widget));
    const editor = { rootGraph: () => root, canvas: () => null, locale: () => "en", nodeOutputs: () => outputs };
    summaries = new Summaries(api, { ...editor, reportUrl: (id, file) => `/r/${id}/${file}` });
  });

  const shown = () => node.widgets.filter(({ element }) => element).flatMap(({ element }) => texts(element));
  const sayProgress = () => node.widgets.push({ name: "$$node-text-preview", options: {} });
  const names = () => node.widgets.map(({ name }) => name);

  test("show what a node says when it is done, and leave nothing where it says nothing", () => {
    summaries.attach(node);
    node.onExecuted({ said: ["3 found"], table: [row({ name: "beach" })] });
    expect(shown()).toEqual(["3 found", "kept", "beach", "0.61", "46 %", "why"]);
    node.onExecuted({ said: [] });
    expect(names()).toEqual(["steps"]);
    node.onExecuted(undefined);
    expect(names()).toEqual(["steps"]);
  });

  test("a report has its pictures and a link", () => {
    summaries.attach(node);
    node.onExecuted({ report: [{ id: "x", page: "index.html", pictures: ["images/a.jpg"] }] });
    const [part] = node.widgets.at(-1).element.children;
    const [pictures, link] = part.children;
    expect([pictures.href, pictures.children[0].src, link.href]).toEqual(["/r/x/index.html", "/r/x/images/a.jpg", "/r/x/index.html"]);
    expect(link.rel).toBe("noopener");
  });

  test.each(["execution_error", "execution_interrupted", "execution_success"])("progress goes with %s", (kind) => {
    summaries.attach(node);
    sayProgress();
    hears[kind]({});
    expect(names()).toEqual(["steps"]);
  });

  test("progress goes when the node is done", () => {
    summaries.attach(node);
    sayProgress();
    node.onExecuted({ said: ["done"] });
    expect(names()).toEqual(["steps", "maskloss_summary"]);
  });

  test("progress is hidden where a panel shows it, and nowhere else", async () => {
    summaries.attach(node);
    sayProgress();
    hears.progress_text({ detail: { nodeId: "7" } });
    await Promise.resolve();
    expect(node.widgets.at(-1).hidden).toBeUndefined();
    summaries.attach(node, true);
    hears.progress_text({ detail: { nodeId: "7" } });
    await Promise.resolve();
    expect([node.widgets.at(-1).hidden, node.widgets.at(-1).options.hidden]).toEqual([true, true]);
    hears.progress_text({ detail: { nodeId: "9" } });
    hears.progress_text({ detail: {} });
  });

  test("come back after a reload, where ComfyUI has nothing", async () => {
    summaries.attach(node);
    kept = { 7: { said: ["kept"] }, 9: { said: ["of no node"] } };
    await summaries.refresh();
    expect(api.asked).toEqual(["/maskloss/results/w"]);
    expect(shown()).toEqual(["kept"]);
    outputs = { 7: { said: ["ComfyUI's"] } };
    summaries.restore(outputs);
    await summaries.refresh();
    expect(shown()).toEqual(["ComfyUI's"]);
  });

  test("a node of another class has none of it", async () => {
    summaries.attach(node);
    kept = { 7: { said: ["kept"] } };
    node.comfyClass = "Report";
    await summaries.refresh();
    expect(shown()).toEqual([]);
  });

  test("another workflow that was opened meanwhile has none of it", async () => {
    summaries.attach(node);
    kept = { 7: { said: ["kept"] } };
    const asked = summaries.refresh();
    root = { ...root, id: "another" };
    await asked;
    expect(shown()).toEqual([]);
  });
});
