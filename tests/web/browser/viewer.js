/**
 * A dataset is looked through and corrected, by mouse and by keyboard: `node viewer.js '<JSON>'` with what editor.js is
 * given. Ends with 1 and says why.
 */

import assert from "node:assert/strict";

import { SECONDS, Session } from "./session.js";

const task = JSON.parse(process.argv[2]);
const session = await Session.start(task);
const { page } = session;
// Only for what never comes: no step takes a tenth of it.
page.setDefaultTimeout(180 * SECONDS);
const PLACES = { 1: [0, 0], 2: [0, 170], 3: [420, 0], 4: [420, 700], 5: [820, 0], 6: [820, 300], 7: [820, 500] };
const viewer = page.locator("dialog.maskloss-viewer");
const message = viewer.locator(".maskloss-message");
const canvas = viewer.locator(".maskloss-stage > canvas").last();
const count = viewer.locator(".maskloss-count");

try {
  await session.openWith(task);
  await session.load(task.prompt, PLACES, "viewer");
  await session.step("before a run the button says what to do", runsFirst);
  await session.step("the workflow and the prompt know nothing of the button", nothingIsSaved);
  await session.runToEnd();
  await session.step("the button opens all photographs, the doubtful and left out among them", opens);
  await session.step("a stroke of the mouse is painted and kept", strokeIsKept);
  await session.step("undo and redo, by keys, are kept too", undone);
  await session.step("a polygon and a filled region", polygonAndFill);
  await session.step("what was there before, the overlay and the latent grid are shown", looks);
  await session.step("caption, done, and on by keys", captionAndMarks);
  await session.step("filters show what they say", filters);
  await session.step("ComfyUI hears no key of the viewer's", keysStay);
  await session.step("a second tab is told, and loses nothing", secondTab);
  await session.step("after a reload and a run all is as it was", reloaded);
  await session.step("a trainer's button opens what it is trained on", fromTrainer);
  await session.step("in Chinese", chinese);
  await session.step("every control has words for those who do not see it", labels);
  await session.step("the console has no error", () => assert.deepEqual(session.complaints, []));
} finally {
  await session.picture("end").catch(() => undefined);
  await session.browser.close();
}

async function openFrom(index = 0) {
  await page.locator(".maskloss-opener:visible button").nth(index).click();
  await viewer.waitFor();
}

async function close() {
  await viewer.getByRole("button", { name: /Close/ }).click();
  await viewer.waitFor({ state: "hidden" });
}

async function saved() {
  await page.waitForFunction(() => document.querySelector(".maskloss-message")?.dataset.state === "saved");
}

/** Until the open photograph can be painted on. */
async function ready() {
  await page.locator('dialog.maskloss-viewer[data-ready="true"]').waitFor();
}

/** {revision, painted: how many pixels, values: the weights among them} of a photograph, as the server has it. */
async function correction(name) {
  return page.evaluate(async (wanted) => {
    const list = await fetch(`/maskloss/viewer/${window.viewed}`).then((answer) => answer.json());
    const item = list.items.find((each) => each.name === wanted);
    const answer = await fetch(`/maskloss/viewer/${window.viewed}/${item.id}/correction`);
    const unpacked = answer.body.pipeThrough(new DecompressionStream("deflate"));
    const bytes = new Uint8Array(await new Response(unpacked).arrayBuffer());
    const size = bytes.length / 2;
    const values = new Map();
    for (let at = 0; at < size; at++) if (bytes[size + at]) values.set(bytes[at], (values.get(bytes[at]) ?? 0) + 1);
    return { revision: item.revision, caption: item.caption, done: item.done, values: Object.fromEntries(values) };
  }, name);
}

/** A point of the picture, as fractions of the canvas's middle part. */
async function at(x, y) {
  const box = await canvas.boundingBox();
  return [box.x + box.width * x, box.y + box.height * y];
}

async function drag(from, to) {
  await page.mouse.move(...(await at(...from)));
  await page.mouse.down();
  await page.mouse.move(...(await at(...to)), { steps: 8 });
  await page.mouse.up();
}

async function runsFirst() {
  await openFrom();
  await viewer.getByText("Run the workflow once").waitFor();
  await page.keyboard.press("Escape");
  await viewer.waitFor({ state: "hidden" });
}

async function nothingIsSaved() {
  const [saved, prompt] = await page.evaluate(async () => {
    const { output } = await app.graphToPrompt();
    return [JSON.stringify(app.graph.serialize()), JSON.stringify(output)];
  });
  assert.ok(!`${saved}${prompt}`.includes("maskloss_viewer"));
}

async function opens() {
  page.on("response", (answer) => {
    const [, id] = /\/maskloss\/viewer\/([0-9a-f]{16})$/.exec(answer.url()) ?? [];
    if (id) page.evaluate((given) => (window.viewed = given), id).catch(() => undefined);
  });
  await openFrom();
  await viewer.locator('.maskloss-cell[aria-label="a"]').waitFor();
  assert.match(await count.textContent(), new RegExp(` of ${task.photographs}$`));
  await viewer.locator('.maskloss-cell[aria-label="a"]').click();
  await page.waitForFunction(() => window.viewed);
  await ready();
  await session.rest();
  await session.picture("viewer");
}

async function strokeIsKept() {
  await page.keyboard.press("1");
  await drag([0.45, 0.5], [0.55, 0.5]);
  await saved();
  const { revision, values } = await correction("a");
  assert.ok(revision);
  assert.deepEqual(Object.keys(values), ["255"]);
  assert.ok(values[255] > 100, JSON.stringify(values));
  await session.picture("viewer_stroke");
}

async function undone() {
  await page.keyboard.press("Control+z");
  await saved();
  assert.equal((await correction("a")).revision, "");
  await page.keyboard.press("Control+Shift+z");
  await saved();
  assert.deepEqual(Object.keys((await correction("a")).values), ["255"]);
}

async function polygonAndFill() {
  await page.keyboard.press("2");
  await page.keyboard.press("p");
  for (const point of [[0.42, 0.6], [0.58, 0.6], [0.5, 0.8]]) await page.mouse.click(...(await at(...point)));
  await page.keyboard.press("Enter");
  await saved();
  assert.deepEqual(Object.keys((await correction("a")).values).sort(), ["255", "80"]);
  await page.keyboard.press("3");
  await page.keyboard.press("f");
  await page.mouse.click(...(await at(0.5, 0.66)));
  await saved();
  assert.deepEqual(Object.keys((await correction("a")).values).sort(), ["128", "255"]);
  await page.keyboard.press("e");
  await page.keyboard.press("f");
  await page.mouse.click(...(await at(0.5, 0.66)));
  await saved();
  assert.deepEqual(Object.keys((await correction("a")).values), ["255"]);
  await page.keyboard.press("b");
}

async function looks() {
  const drawn = () => page.evaluate(() => document.querySelectorAll(".maskloss-stage canvas")[1].toDataURL());
  await session.rest();
  const now = await drawn();
  await page.keyboard.down("x");
  await session.rest();
  const before = await drawn();
  await page.keyboard.up("x");
  await session.rest();
  assert.notEqual(before, now);
  assert.equal(await drawn(), now);
  await page.keyboard.press("g");
  await session.rest();
  assert.notEqual(await drawn(), now);
  await session.picture("viewer_cells");
  await page.keyboard.press("g");
  await page.keyboard.press("o");
  await session.rest();
  assert.notEqual(await drawn(), now);
  await page.keyboard.press("o");
}

async function captionAndMarks() {
  const caption = viewer.getByRole("textbox", { name: "Caption" });
  await caption.fill("ohwx person, 1 face b m");
  await page.keyboard.press("Escape");
  await page.waitForFunction(() => document.activeElement?.tagName === "CANVAS");
  await page.keyboard.press("m");
  await viewer.locator('.maskloss-cell[aria-label="a"][data-state="done"]').waitFor();
  const { caption: kept, done } = await correction("a");
  assert.deepEqual([kept, done], ["ohwx person, 1 face b m", true]);
  const shown = await count.textContent();
  await page.keyboard.press("ArrowRight");
  await page.waitForFunction((text) => document.querySelector(".maskloss-count").textContent !== text, shown);
}

async function filters() {
  const filter = viewer.getByRole("combobox", { name: "Show" });
  for (const [name, wanted] of [["corrected", ["a"]], ["done", ["a"]], ["noMask", ["d"]], ["all", task.names]]) {
    await filter.selectOption(name);
    await session.rest();
    const names = await viewer.locator(".maskloss-cell").evaluateAll((cells) => cells.map((cell) => cell.ariaLabel));
    assert.deepEqual(names.sort(), wanted, name);
  }
  await viewer.getByRole("searchbox").fill("OHWX");
  await session.rest();
  assert.equal(await viewer.locator(".maskloss-cell").count(), 1);
  await viewer.getByRole("searchbox").fill("");
  await viewer.locator('.maskloss-cell[aria-label="a"]').click();
  await ready();
}

async function keysStay() {
  const state = () =>
    page.evaluate(() => JSON.stringify(app.graph._nodes.map(({ mode, flags, pos }) => [mode, flags, [...pos]])));
  const before = await state();
  await page.evaluate(() => app.canvas.selectNodes?.(app.graph._nodes));
  await canvas.focus();
  for (const key of ["Control+m", "Control+b", "p", "q", "r", "Delete", "h", "Alt+c"]) await page.keyboard.press(key);
  await session.rest();
  assert.equal(await state(), before);
  assert.ok(await viewer.isVisible());
  await page.keyboard.press("b");
}

async function secondTab() {
  const other = await session.browser.newPage();
  await other.goto(task.url, { waitUntil: "domcontentloaded" });
  await other.waitForFunction(() => window.app?.extensionManager && window.app.canvas?.graph);
  const before = await correction("a");
  const stale = await other.evaluate(async (dataset) => {
    const list = await fetch(`/maskloss/viewer/${dataset}`).then((answer) => answer.json());
    const item = list.items.find(({ name }) => name === "a");
    const packed = new Blob([new Uint8Array([7, 255])]).stream().pipeThrough(new CompressionStream("deflate"));
    const body = await new Response(packed).arrayBuffer();
    const place = new URLSearchParams({ left: 0, top: 0, width: 1, height: 1, revision: item.revision, client: "other" });
    const headers = { "Content-Type": "application/octet-stream" };
    const path = `/maskloss/viewer/${dataset}/${item.id}/correction?${place}`;
    return (await fetch(path, { method: "POST", headers, body })).status;
  }, await page.evaluate(() => window.viewed));
  assert.equal(stale, 200);
  await viewer.getByText("Changed in another tab").waitFor();
  await page.keyboard.press("1");
  await drag([0.48, 0.42], [0.52, 0.42]);
  await saved();
  const after = await correction("a");
  assert.equal(after.values[7], 1, "what the other tab painted is there");
  assert.ok(after.values[255] > before.values[255], "and what this one painted");
  await other.close();
  await close();
}

async function reloaded() {
  const before = await correction("a");
  const id = await page.evaluate(() => window.viewed);
  await session.open();
  await session.load(task.prompt, PLACES, "viewer");
  await session.runToEnd();
  await page.evaluate((given) => (window.viewed = given), id);
  await openFrom();
  await viewer.locator('.maskloss-cell[aria-label="a"]').click();
  await session.rest();
  assert.deepEqual(await correction("a"), before);
  await close();
}

async function fromTrainer() {
  const [index, total] = await page.evaluate(() => {
    const openers = app.graph._nodes.filter((node) => node.widgets?.some(({ name }) => name === "maskloss_viewer"));
    return [openers.findIndex(({ type }) => type === "MaskLossTrainLora"), openers.length];
  });
  assert.ok(index >= 0 && total >= 2, `${index} of ${total}`);
  await session.look("MaskLossTrainLora", 0.6);
  const button = page.locator(".maskloss-opener:visible button");
  await button.nth((await button.count()) - 1).click();
  await viewer.locator('.maskloss-cell[aria-label="a"]').waitFor();
  await close();
  await page.keyboard.press("Alt+Shift+L");
  await viewer.locator('.maskloss-cell[aria-label="a"]').waitFor();
  await close();
}

async function chinese() {
  await page.evaluate(([key, value]) => app.extensionManager.setting.set(key, value), ["Comfy.Locale", "zh"]);
  await session.open();
  await session.load(task.prompt, PLACES, "viewer");
  await session.runToEnd(() => page.evaluate(() => app.queuePrompt(0)));
  await openFrom();
  await viewer.getByRole("button", { name: /人脸 255/ }).waitFor();
  await viewer.locator('[data-does="overlay"][aria-pressed="true"]').waitFor();
  await session.rest();
  await session.picture("viewer_zh");
}

async function labels() {
  const bare = await viewer.locator("button, input, select, textarea, canvas[tabindex]").evaluateAll((controls) =>
    controls.filter((one) => !(one.ariaLabel || one.labels?.[0]?.textContent || one.textContent.trim().length > 1)).map((one) => one.outerHTML),
  );
  assert.deepEqual(bare, []);
}
