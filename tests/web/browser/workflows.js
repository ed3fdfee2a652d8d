/** Every shipped workflow, subgraph and page of help, opened. */

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { basename, join } from "node:path";

import { SECONDS } from "./session.js";

/** With nothing missing, nothing over another, and what it queues being its twin in API format. */
export async function workflowsOpen(session, folder) {
  const { page } = session;
  const defaults = await page.evaluate(async () => {
    const known = await (await fetch("/object_info")).json();
    const value = ([kind, options]) => options?.default ?? (Array.isArray(kind) ? kind[0] : options?.options?.[0]);
    const inputs = ({ input }) => Object.entries({ ...input.required, ...input.optional });
    return Object.fromEntries(
      Object.entries(known).map(([type, info]) => [
        type,
        Object.fromEntries(inputs(info).map(([name, declared]) => [name, value(declared)])),
      ]),
    );
  });
  for (const file of readdirSync(folder).filter((name) => name.endsWith(".json"))) {
    const workflow = read(folder, file);
    await page.evaluate((given) => app.loadGraphData(given, true, true), workflow);
    await session.rest(2 * SECONDS);
    const expected = { count: workflow.nodes.length, links: workflow.links.length, wrong: [], over: [] };
    assert.deepEqual(await page.evaluate(openGraph), expected, file);
    assert.equal(await page.getByText(/errors? found/).count(), 0, file);
    await isItsTwin(page, read(folder, workflow.extra.prompt), defaults, file);
    await session.fit();
    await session.picture(`workflow_${basename(file, ".json")}`);
  }
}

function read(folder, file) {
  return JSON.parse(readFileSync(join(folder, file), "utf8"));
}

/** In the page: what there is of the open graph. */
function openGraph() {
  const nodes = app.graph._nodes;
  const box = ({ pos: [x, y], size: [width, height] }) => ({ x, y: y - 30, right: x + width, bottom: y + height });
  const over = (a, b) => a.x < b.right && b.x < a.right && a.y < b.bottom && b.y < a.bottom;
  const pairs = nodes.flatMap((one, at) => nodes.slice(at + 1).map((other) => [one, other]));
  return {
    count: nodes.length,
    links: app.graph.links.size ?? Object.keys(app.graph.links).length,
    wrong: nodes.filter((node) => node.has_errors || !LiteGraph.registered_node_types[node.type]).map(({ type }) => type),
    over: pairs.filter(([one, other]) => over(box(one), box(other))).map(([one, other]) => `${one.title}/${other.title}`),
  };
}

/** The editor queues what the twin says; what the twin leaves away are defaults of the nodes. */
async function isItsTwin(page, twin, defaults, file) {
  const queued = await page.evaluate(() => app.graphToPrompt());
  // A node in a subgraph has the ids of both, as 28:11; ours have no id twice.
  const own = (id) => id.split(":").at(-1);
  const unnested = ([name, value]) => [name, Array.isArray(value) ? [own(value[0]), value[1]] : value];
  const output = Object.fromEntries(
    Object.entries(queued.output).map(([id, { class_type, inputs }]) => [
      own(id),
      { class_type, inputs: Object.fromEntries(Object.entries(inputs).map(unnested)) },
    ]),
  );
  assert.deepEqual(Object.keys(output).sort(), Object.keys(twin).sort(), file);
  for (const [id, { class_type: type, inputs }] of Object.entries(output)) {
    const left = Object.keys(inputs).filter((name) => !(name in twin[id].inputs));
    const expected = { ...twin[id].inputs, ...Object.fromEntries(left.map((name) => [name, defaults[type][name]])) };
    assert.deepEqual({ type, inputs }, { type: twin[id].class_type, inputs: expected }, `${file}, node ${id}`);
  }
}

/** A double click, its name, and it is there with every node. */
export async function subgraphsAreFound(session, folder) {
  const { page } = session;
  for (const file of readdirSync(folder)) {
    const name = basename(file, ".json");
    const [inner] = read(folder, file).definitions.subgraphs;
    await page.evaluate(() => app.extensionManager.command.execute("Comfy.NewBlankWorkflow"));
    await session.rest();
    // A page that is still busy takes two slow clicks for two single ones.
    await session.poll(async () => {
      await page.mouse.dblclick(900, 700);
      await session.rest();
      return page.evaluate(() => document.activeElement?.tagName === "INPUT");
    });
    await page.keyboard.type(name);
    await page.getByText(name, { exact: true }).first().waitFor();
    await session.rest(2 * SECONDS);
    await page.keyboard.press("Enter");
    await session.rest();
    await page.mouse.click(700, 500);
    await page.waitForFunction(() => app.graph._nodes.length === 1);
    const nodes = await page.evaluate(() => app.graph._nodes[0].subgraph._nodes.map(({ type, has_errors: wrong }) => [type, !!wrong]));
    assert.deepEqual(nodes.sort(), inner.nodes.map(({ type }) => [type, false]).sort(), name);
    await session.picture(`subgraph_${name.replaceAll(" ", "_")}`);
  }
}

/** Of every node: the page with its title, its table and its picture. */
export async function helpOpens(session) {
  const { page } = session;
  await page.evaluate(() => app.extensionManager.command.execute("Comfy.NewBlankWorkflow"));
  await session.rest();
  const types = await page.evaluate(() => Object.keys(LiteGraph.registered_node_types).filter((type) => type.startsWith("MaskLoss")));
  assert.ok(types.length > 0);
  for (const [index, type] of types.entries()) {
    const title = await page.evaluate((wanted) => {
      for (const before of [...app.graph._nodes]) app.graph.remove(before);
      const node = LiteGraph.createNode(wanted);
      app.graph.add(node);
      app.canvas.deselectAll();
      app.canvas.selectNode(node);
      return node.title;
    }, type);
    // Once open, the side panel follows the selection.
    if (index === 0) await page.getByTestId("info-button").click();
    await page.getByRole("heading", { name: title, level: 1 }).waitFor();
    await page.getByRole("columnheader", { name: "range or choices" }).first().waitFor({ state: "attached" });
    const source = `img[src$="pictures/${type}.jpg"]`;
    await page.waitForFunction((wanted) => document.querySelector(wanted)?.naturalWidth > 0, source);
  }
  await session.picture("help");
}

/** In a Chinese editor a node's help is the Chinese page, with the same picture. */
export async function helpIsChinese(session) {
  const { page } = session;
  const type = "MaskLossDatasetCutOut";
  await page.evaluate(() => app.extensionManager.setting.set("Comfy.Locale", "zh"));
  await session.open();
  await page.evaluate((wanted) => {
    app.graph.clear();
    const node = LiteGraph.createNode(wanted);
    app.graph.add(node);
    app.canvas.deselectAll();
    app.canvas.selectNode(node);
  }, type);
  await page.getByTestId("info-button").click();
  await page.getByRole("columnheader", { name: "范围或选项" }).first().waitFor({ state: "attached" });
  const source = `img[src$="pictures/${type}.jpg"]`;
  await page.waitForFunction((wanted) => document.querySelector(wanted)?.naturalWidth > 0, source);
  await page.evaluate(() => app.extensionManager.setting.set("Comfy.Locale", "en"));
}
