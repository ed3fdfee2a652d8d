/**
 * What a person does in the graph editor, in a real Chromium on a real server: `node editor.js '<JSON>'` with
 * {url, chromium, pictures: folder for screenshots, vue: Nodes 2.0?, palette, prompt, workflows: folder}. Ends with 1 and says why.
 */

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { basename, join } from "node:path";

import { chromium } from "playwright-core";

const SECONDS = 1000;
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
/** What ComfyUI's own front end says on a new installation: files and models that it has not, help by language first. */
const NOT_OURS = /userdata|user\.css|before initialization|huggingface\.co|\/docs\/\w+\/\w+\.md/;
const PLACES = {
  1: [0, 0],
  2: [0, 170],
  3: [320, 0],
  4: [320, 330],
  5: [700, 0],
  6: [1150, 0],
  7: [320, 500],
  8: [320, 920],
  9: [320, 1040],
  10: [1600, 0],
  11: [1150, 700],
  12: [1150, 1150],
};

const { url, chromium: executablePath, pictures, vue, palette, prompt, workflows } = JSON.parse(process.argv[2]);
const browser = await chromium.launch({ executablePath, args: FLAGS });
const page = await browser.newPage({ viewport: { width: 1900, height: 1200 } });
page.setDefaultTimeout(90 * SECONDS);
const complaints = [];
page.on("pageerror", (error) => complaints.push(error.stack));
page.on("console", (message) => {
  const text = `${message.text()} ${message.location().url}`;
  if (message.type() === "error" && !NOT_OURS.test(text)) complaints.push(text);
});

const panel = page.locator(".maskloss-panel:visible");
const picture = (name) => page.screenshot({ path: join(pictures, `${name}.png`) });
const run = () => page.getByRole("button", { name: /^Run/ }).first().click();

try {
  await open();
  await page.evaluate(([key, value]) => app.extensionManager.setting.set(key, value), ["Comfy.VueNodes.Enabled", vue]);
  await page.evaluate((value) => app.extensionManager.setting.set("Comfy.ColorPalette", value), palette);
  await open();
  await load();
  await step("the workflow knows nothing of what is shown", nothingIsSaved);
  await step("the chart moves while a queue started by a click trains", chartMoves);
  await step("a reload keeps the course", reloadKeepsTheCourse);
  await step("both trainers end, each with its own course", bothEnd);
  await step("another tab and back keeps it, in the subgraph as well", tabsKeepIt);
  await step("a click on a face sets face_index, a second one unsets it", facesAreClicked);
  await step("the pages of help open", helpOpens);
  await step("a removed node leaves nothing behind", removal);
  await step("every shipped workflow opens, with nothing missing and nothing over another", workflowsOpen);
  await step("the two subgraphs are offered", subgraphsAreOffered);
  await step("the console has no error", () => assert.deepEqual(complaints, []));
} finally {
  // Whatever went wrong before is what has to be told.
  await picture("end").catch(() => undefined);
  await browser.close();
}

async function step(name, does) {
  try {
    await does();
    console.log(name);
  } catch (error) {
    error.message = `${name}: ${error.message}\nconsole: ${complaints.join("\n")}`;
    throw error;
  }
}

async function open() {
  await page.goto(url, { waitUntil: "domcontentloaded" });
  await page.waitForFunction(() => window.app?.extensionManager && window.app.canvas?.graph);
  await page.waitForTimeout(2 * SECONDS);
  await page.keyboard.press("Escape");
}

/** The prompt as a graph; its second trainer goes into a subgraph. */
async function load() {
  await page.evaluate(
    async ([given, places]) => {
      await app.loadApiJson(given, "editor.json");
      for (const [id, place] of Object.entries(places)) {
        (app.graph.getNodeById(id) ?? app.graph.getNodeById(Number(id))).pos = place;
      }
      const second = app.graph._nodes.filter(({ type }) => type === "MaskLossTrainLora")[1];
      app.graph.convertToSubgraph(new Set([second]));
    },
    [prompt, PLACES],
  );
  await look();
}

/** All of the open graph in the window, below what ComfyUI shows above its nodes. */
async function look() {
  await page.evaluate(() => {
    app.canvas.ds.scale = 0.75;
    app.canvas.ds.offset = [120, 210];
    app.canvas.setDirty(true, true);
  });
  await page.waitForTimeout(SECONDS);
}

async function nothingIsSaved() {
  const { output, workflow } = await page.evaluate(() => app.graphToPrompt());
  const names = Object.values(output).flatMap(({ inputs }) => Object.keys(inputs));
  assert.deepEqual(names.filter((name) => name.startsWith("maskloss")), []);
  const trainer = workflow.nodes.find(({ type }) => type === "MaskLossTrainLora");
  const inputs = Object.entries(prompt["5"].inputs).filter(([, value]) => !Array.isArray(value));
  assert.ok(trainer.widgets_values.length >= inputs.length);
  assert.ok(!trainer.widgets_values.includes(""), JSON.stringify(trainer.widgets_values));
}

async function stepsOf(which) {
  const text = await which.locator(".maskloss-status b").innerText();
  return Number(/ ([\d,]+) \//.exec(text)[1].replaceAll(",", ""));
}

async function chartMoves() {
  await run();
  const first = page.locator('.maskloss-panel[data-state="running"]:visible');
  await first.waitFor();
  const seen = new Set();
  const drawn = new Set();
  await poll(async () => {
    if ((await first.count()) === 0) return true;
    seen.add(await stepsOf(first));
    drawn.add(await first.locator("canvas").evaluate((canvas) => canvas.toDataURL()));
    return seen.size > 3 && drawn.size > 3;
  });
  await picture("training");
  assert.ok(seen.size > 3 && drawn.size > 3, `steps ${[...seen]}, ${drawn.size} pictures`);
  const values = await page.locator(".maskloss-keys button:visible").allInnerTexts();
  for (const name of ["loss", "inside", "outside", "validation"]) {
    assert.ok(values.some((text) => text.startsWith(name) && /\d/.test(text)), `${name} in ${values}`);
  }
}

async function reloadKeepsTheCourse() {
  const before = await stepsOf(panel);
  assert.ok(before > 0);
  await open();
  await look();
  const after = await stepsOf(panel);
  assert.ok(after >= before, `${before} steps before, ${after} after`);
  await picture("reloaded");
}

async function bothEnd() {
  const inside = () => page.evaluate(() => {
    const node = app.graph._nodes.find((each) => each.isSubgraphNode?.());
    app.canvas.openSubgraph(node.subgraph, node);
  });
  await poll(async () => (await runs()).filter(({ state }) => state === "finished").length === 2);
  const told = Object.fromEntries((await runs()).map(({ node, steps }) => [node.includes(":"), steps]));
  assert.deepEqual(told, { false: prompt["5"].inputs.steps, true: prompt["6"].inputs.steps });
  assert.equal(await stepsOf(panel), prompt["5"].inputs.steps);
  await inside();
  await look();
  assert.equal(await stepsOf(panel), prompt["6"].inputs.steps);
  assert.equal(await panel.getAttribute("data-state"), "finished");
  await picture("subgraph");
}

async function runs() {
  const answer = await page.evaluate(() => fetch("/maskloss/training").then((told) => told.json()));
  return answer.runs;
}

async function tabsKeepIt() {
  await page.evaluate(() => app.extensionManager.command.execute("Comfy.NewBlankWorkflow"));
  await page.waitForTimeout(SECONDS);
  assert.equal(await panel.count(), 0);
  await page.getByText("editor", { exact: true }).first().click();
  await page.waitForTimeout(2 * SECONDS);
  await page.evaluate(() => app.canvas.setGraph(app.rootGraph));
  await look();
  assert.equal(await stepsOf(panel), prompt["5"].inputs.steps);
}

async function facesAreClicked() {
  await page.locator(".maskloss-faces rect").first().waitFor();
  await picture("faces");
  const chosen = () => page.evaluate(() => {
    const node = app.graph._nodes.find(({ type }) => type === "MaskLossInstanceMask");
    return node.widgets.find(({ name }) => name === "face_index").value;
  });
  assert.equal(await chosen(), prompt["10"].inputs.face_index);
  const face = page.locator('.maskloss-faces rect[data-index="2"]');
  await face.hover();
  await face.click();
  assert.equal(await chosen(), 2);
  assert.equal(await face.getAttribute("aria-pressed"), "true");
  await picture("clicked");
  await face.click();
  assert.equal(await chosen(), -1);
}

async function helpOpens() {
  for (const type of ["MaskLossTrainLora", "MaskLossInstanceMask"]) {
    const title = await page.evaluate((wanted) => {
      const node = app.graph._nodes.find((each) => each.type === wanted);
      app.canvas.deselectAll();
      app.canvas.selectNode(node);
      return node.constructor.title;
    }, type);
    const heading = page.getByRole("heading", { name: title, level: 1 });
    // Once open, the side panel follows the selection.
    if (type === "MaskLossTrainLora") await page.getByTestId("info-button").click();
    await heading.waitFor();
    await page.getByRole("columnheader", { name: "range or choices" }).waitFor({ state: "attached" });
  }
  await picture("help");
}

async function removal() {
  await page.evaluate(() => {
    for (const node of [...app.graph._nodes]) if (node.type.startsWith("MaskLossTrain")) app.graph.remove(node);
  });
  await page.waitForTimeout(SECONDS);
  assert.equal(await panel.count(), 0);
  await page.evaluate(() => document.body.classList.toggle("maskloss-test"));
  await page.waitForTimeout(SECONDS / 2);
}

async function workflowsOpen() {
  for (const file of readdirSync(workflows).filter((name) => name.endsWith(".json"))) {
    const workflow = JSON.parse(readFileSync(join(workflows, file), "utf8"));
    await page.evaluate((given) => app.loadGraphData(given, true, true), workflow);
    await page.waitForTimeout(2 * SECONDS);
    const found = await page.evaluate(() => {
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
    });
    const expected = { count: workflow.nodes.length, links: workflow.links.length, wrong: [], over: [] };
    assert.deepEqual(found, expected, file);
    await page.evaluate(() => {
      const boxes = app.graph._nodes.map(({ pos, size }) => [...pos, pos[0] + size[0], pos[1] + size[1]]);
      const [left, top] = [0, 1].map((at) => Math.min(...boxes.map((box) => box[at])));
      const [right, bottom] = [2, 3].map((at) => Math.max(...boxes.map((box) => box[at])));
      app.canvas.ds.scale = Math.min((innerWidth - 150) / (right - left), (innerHeight - 250) / (bottom - top));
      app.canvas.ds.offset = [100 / app.canvas.ds.scale - left, 150 / app.canvas.ds.scale - top];
      app.canvas.setDirty(true, true);
    });
    await page.waitForTimeout(SECONDS);
    await picture(`workflow_${basename(file, ".json")}`);
  }
}

async function subgraphsAreOffered() {
  const names = await page.evaluate(async () =>
    Object.values(await (await fetch("/global_subgraphs")).json()).map(({ name }) => name),
  );
  assert.ok(names.includes("Photographs of one person") && names.includes("Weighted mask of one person"), `${names}`);
}

async function poll(done, seconds = 200) {
  for (const end = Date.now() + seconds * SECONDS; Date.now() < end; ) {
    if (await done()) return;
    await page.waitForTimeout(SECONDS / 5);
  }
  assert.fail(`not within ${seconds} s`);
}
