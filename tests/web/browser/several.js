/**
 * Two people of one photograph are looked at and one of them is corrected: `node several.js '<JSON>'` with what editor.js
 * is given. Ends with 1 and says why.
 */

import assert from "node:assert/strict";

import { SECONDS, Session } from "./session.js";

const task = JSON.parse(process.argv[2]);
const session = await Session.start(task);
const { page } = session;
page.setDefaultTimeout(180 * SECONDS);
const viewer = page.locator("dialog.maskloss-viewer");
const canvas = viewer.locator(".maskloss-stage > canvas").last();
const ready = page.locator('dialog.maskloss-viewer[data-ready="true"]');
const PERSON = "two_people@grace";
const ALL = ["the_person@eileen", "two_people@eileen", PERSON, "two_people@together"];
const FAR = 4000;
let dataset;
page.on("response", (answer) => (dataset = /\/maskloss\/viewer\/([0-9a-f]{16})$/.exec(answer.url())?.[1] ?? dataset));

try {
  await session.openWith(task);
  await page.evaluate(async ([given, far]) => {
    await app.loadApiJson(given, "several.json");
    app.graph._nodes.forEach((node, index) => (node.pos = [(index % 4) * far, Math.floor(index / 4) * far]));
  }, [task.prompt, FAR]);
  await session.runToEnd();
  await session.step("the button of Keep People opens an item for each person, by their names", opens);
  await session.step("a stroke in one person's item is theirs alone", stroke);
  await session.step("so are the caption and what is done", remarks);
  await session.step("after a run it is as it was, and all together have it", async () => {
    await viewer.getByRole("button", { name: /Close/ }).click();
    await session.runToEnd();
    await opens();
    await viewer.locator(`.maskloss-cell[aria-label="${PERSON}"]`).click();
    await ready.waitFor();
    assert.deepEqual(Object.keys((await known(PERSON)).painted), ["255"]);
    await session.rest();
    await session.picture("several_again");
    await viewer.locator('.maskloss-cell[aria-label="two_people@together"]').click();
    await ready.waitFor();
    await session.rest();
    await session.picture("several_together");
    assert.equal((await known("two_people@together")).revision, "");
  });
  await session.step("the console has no error", () => assert.deepEqual(session.complaints, []));
} finally {
  await session.picture("several_end").catch(() => undefined);
  await session.browser.close();
}

/** An item as the server knows it, and what is painted of it: how many pixels of each weight. */
async function known(name) {
  return page.evaluate(async ([id, wanted]) => {
    const { items } = await fetch(`/maskloss/viewer/${id}`).then((answer) => answer.json());
    const item = items.find((each) => each.name === wanted);
    const answer = await fetch(`/maskloss/viewer/${id}/${item.id}/correction`);
    const bytes = new Uint8Array(await new Response(answer.body.pipeThrough(new DecompressionStream("deflate"))).arrayBuffer());
    const size = bytes.length / 2;
    const painted = {};
    for (let at = 0; at < size; at++) if (bytes[size + at]) painted[bytes[at]] = (painted[bytes[at]] ?? 0) + 1;
    return { ...item, painted };
  }, [dataset, name]);
}

/** Click on the one button that is in the window: the other nodes are far away. */
async function opens() {
  await session.look("MaskLossKeepPeople");
  const { width, height } = page.viewportSize();
  const boxes = await Promise.all((await page.locator(".maskloss-opener:visible button").all()).map((one) => one.boundingBox()));
  const inside = boxes.filter((box) => box && box.x > 0 && box.y > 0 && box.x < width && box.y < height);
  assert.equal(inside.length, 1, JSON.stringify(boxes));
  const [{ x, y, width: across, height: down }] = inside;
  await session.picture("several_node");
  await page.mouse.click(x + across / 2, y + down / 2);
  await viewer.locator(`.maskloss-cell[aria-label="${PERSON}"]`).waitFor();
  const labels = await viewer.locator(".maskloss-cell").evaluateAll((cells) => cells.map((cell) => cell.getAttribute("aria-label")));
  assert.deepEqual(labels.sort(), ALL);
}

async function saved() {
  await page.waitForFunction(() => document.querySelector(".maskloss-message")?.dataset.state === "saved");
}

/** A stroke of the face's weight between both heads, where nobody of the two is. */
async function stroke() {
  await viewer.locator(`.maskloss-cell[aria-label="${PERSON}"]`).click();
  await ready.waitFor();
  await session.rest();
  await session.picture("several_person");
  await page.keyboard.press("1");
  const box = await canvas.boundingBox();
  const at = (x) => [box.x + box.width * x, box.y + box.height * 0.2];
  await page.mouse.move(...at(0.46));
  await page.mouse.down();
  await page.mouse.move(...at(0.5), { steps: 8 });
  await page.mouse.up();
  await saved();
  const { painted, revision } = await known(PERSON);
  assert.ok(revision);
  assert.deepEqual(Object.keys(painted), ["255"]);
  for (const other of ALL.filter((name) => name !== PERSON)) assert.equal((await known(other)).revision, "", other);
  await session.picture("several_painted");
}

async function remarks() {
  await viewer.getByLabel("Caption", { exact: true }).fill("grace, at her desk");
  await viewer.getByLabel("Done (M)").click();
  await saved();
  await page.waitForFunction(() => document.querySelector(".maskloss-viewer footer textarea") !== document.activeElement);
  for (let look = 0; look < 100 && !(await known(PERSON)).done; look++) await page.waitForTimeout(SECONDS / 5);
  const rows = await Promise.all(ALL.map(known));
  assert.deepEqual(rows.map(({ done }) => done), [false, false, true, false]);
  assert.deepEqual(rows.map(({ caption }) => caption), ["eileen", "eileen", "grace, at her desk", "grace and eileen"]);
}
