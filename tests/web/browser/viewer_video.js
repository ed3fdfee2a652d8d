/**
 * Frames of a video are gone through and corrected, by mouse and by keyboard: `node viewer_video.js '<JSON>'` with what
 * viewer.js is given, and `frames`, the frame that is `painted`, and in it the `square` [left, top, width, height] of a
 * picture of `size`. Ends with 1 and says why.
 */

import assert from "node:assert/strict";

import { SECONDS, Session } from "./session.js";

const task = JSON.parse(process.argv[2]);
const session = await Session.start(task);
const { page } = session;
page.setDefaultTimeout(180 * SECONDS);
const viewer = page.locator("dialog.maskloss-viewer");
const canvas = viewer.locator(".maskloss-stage > canvas").last();
const film = viewer.locator(".maskloss-film");
const said = film.locator(".maskloss-film-text");
const PLACES = { 1: [0, 0], 2: [0, 170], 3: [420, 0], 4: [420, 700], 5: [820, 0], 6: [820, 300] };
const BEHIND = 9;
const ENDS = 11;

try {
  await session.openWith(task);
  await session.load(task.prompt, PLACES, "clips");
  await session.runToEnd();
  await session.step("a video opens at the frame that stands for it", opens);
  await session.step("frames are gone through by keys and by the slider", goesThrough);
  await session.step("a stroke on one frame is kept, and carried on", carried);
  await session.step("what is carried is seen where it is, and is not painted yet", seen);
  await session.step("from a frame on nothing is carried", ends);
  await session.step("painted frames are gone through by keys", jumps);
  await session.step("undo is kept, and redo", undone);
  await session.step("a second tab is told", secondTab);
  await session.step("after a reload and a run all is as it was", reloaded);
  await session.step("one frame is reverted alone", reverted);
  await session.step("every control has words for those who do not see it", labels);
  await session.step("the console has no error", () => assert.deepEqual(session.complaints, []));
} finally {
  await session.picture("video_end").catch(() => undefined);
  await session.browser.close();
}

async function opens() {
  page.on("response", (answer) => {
    const [, id] = /\/maskloss\/viewer\/([0-9a-f]{16})$/.exec(answer.url()) ?? [];
    if (id) page.evaluate((given) => (window.viewed = given), id).catch(() => undefined);
  });
  await openFirst();
  assert.equal(await state(), "plain");
  assert.equal(await at(), task.frames / 2);
  await session.rest();
  await session.picture("video");
}

async function openFirst() {
  await page.locator(".maskloss-opener:visible button").first().click();
  await viewer.locator('.maskloss-cell[aria-label="one"]').click();
  await film.waitFor();
  await page.waitForFunction(() => window.viewed);
  await ready();
}

async function ready() {
  await page.locator('dialog.maskloss-viewer[data-ready="true"]').waitFor();
}

async function saved() {
  await page.waitForFunction(() => document.querySelector(".maskloss-message")?.dataset.state === "saved");
}

async function state() {
  return film.getAttribute("data-kind");
}

async function at() {
  return Number(await film.locator("input").inputValue());
}

/** By keys, until the frame can be painted on. */
async function goTo(frame) {
  await canvas.focus();
  for (let now = await at(); now !== frame; now = await at()) await page.keyboard.press(now < frame ? "k" : "j");
  await ready();
}

async function goesThrough() {
  const drawn = () => page.evaluate(() => document.querySelectorAll(".maskloss-stage canvas")[0].toDataURL());
  await session.rest();
  const still = await drawn();
  await goTo(task.frames - 1);
  await page.keyboard.press("k");
  assert.equal(await at(), task.frames - 1, "the last one has none behind it");
  await session.rest();
  assert.notEqual(await drawn(), still);
  const slider = film.locator("input");
  await slider.focus();
  await page.keyboard.press("Home");
  assert.equal(await at(), 0);
  await ready();
  await film.getByRole("button", { name: /Next frame/ }).click();
  assert.equal(await at(), 1);
  await ready();
  assert.match(await said.textContent(), /frame 1 of 0–15 · the mask as it is/);
}

/** A point of the picture, which is shown as large as it is, in the middle. */
async function on(x, y) {
  const box = await canvas.boundingBox();
  return [box.x + box.width / 2 - task.size[0] / 2 + x, box.y + box.height / 2 - task.size[1] / 2 + y];
}

async function carried() {
  await goTo(task.painted);
  const [left, top, width, height] = task.square;
  await page.keyboard.press("1");
  await page.keyboard.press("p");
  const corners = [[left + 2, top + 2], [left + width - 2, top + 2], [left + width - 2, top + height - 2], [left + 2, top + height - 2]];
  for (const corner of corners) await page.mouse.click(...(await on(...corner)));
  await page.keyboard.press("Enter");
  await saved();
  await page.waitForFunction(() => document.querySelector('.maskloss-film[data-kind="painted"]'));
  await film.locator('i[data-kind="carried"]').waitFor();
  assert.match(await said.textContent(), /painted here/);
  const { painted, carried: spans } = await line();
  assert.deepEqual([painted, spans], [[task.painted], [[task.painted, task.painted + 1, task.frames - 1]]]);
  await session.picture("video_painted");
}

/** The server's timeline of the video. */
async function line() {
  return ask("frames", async (answer) => answer.json());
}

/** {revision, count: painted pixels, x: their mean} of a frame. */
async function correction(frame) {
  return page.evaluate(
    async ([number, width]) => {
      const list = await fetch(`/maskloss/viewer/${window.viewed}`).then((answer) => answer.json());
      const item = list.items.find(({ name }) => name === "one");
      const answer = await fetch(`/maskloss/viewer/${window.viewed}/${item.id}/correction?frame=${number}`);
      const unpacked = answer.body.pipeThrough(new DecompressionStream("deflate"));
      const bytes = new Uint8Array(await new Response(unpacked).arrayBuffer());
      let [count, sum] = [0, 0];
      for (let place = 0; place < bytes.length / 2; place++) {
        if (bytes[bytes.length / 2 + place]) [count, sum] = [count + 1, sum + (place % width)];
      }
      return { revision: answer.headers.get("X-MaskLoss-Revision"), count, x: count && sum / count };
    },
    [frame, task.size[0]],
  );
}

async function ask(end, reads) {
  return page.evaluate(
    async ([path, read]) => {
      const list = await fetch(`/maskloss/viewer/${window.viewed}`).then((answer) => answer.json());
      const item = list.items.find(({ name }) => name === "one");
      const answer = await fetch(`/maskloss/viewer/${window.viewed}/${item.id}/${path}`);
      return new Function("answer", `return (${read})(answer)`)(answer);
    },
    [end, String(reads)],
  );
}

async function seen() {
  const first = await correction(task.painted);
  await goTo(BEHIND);
  assert.equal(await state(), "carried");
  assert.match(await said.textContent(), new RegExp(`carried on from frame ${task.painted}`));
  const behind = await correction(BEHIND);
  const moved = 3 * (BEHIND - task.painted);
  assert.ok(Math.abs(behind.x - first.x - moved) < 3, `${first.x} to ${behind.x}, not ${moved}`);
  assert.ok(Math.abs(behind.count - first.count) < 0.1 * first.count);
  await session.rest();
  await session.picture("video_carried");
  assert.deepEqual((await line()).painted, [task.painted]);
}

async function ends() {
  await goTo(ENDS);
  await page.keyboard.press("s");
  await saved();
  await page.waitForFunction(() => document.querySelector('.maskloss-film[data-kind="painted"]'));
  await page.keyboard.press("k");
  await ready();
  await page.waitForFunction(() => document.querySelector('.maskloss-film[data-kind="plain"]'));
  const { painted, carried: spans } = await line();
  assert.deepEqual([painted, spans], [[task.painted, ENDS], [[task.painted, task.painted + 1, ENDS - 1]]]);
}

async function jumps() {
  await canvas.focus();
  await page.keyboard.press("Shift+J");
  assert.equal(await at(), ENDS);
  await page.keyboard.press("Shift+J");
  assert.equal(await at(), task.painted);
  await page.keyboard.press("Shift+K");
  assert.equal(await at(), ENDS);
  await ready();
}

async function undone() {
  await goTo(task.painted);
  const before = await correction(task.painted);
  await page.keyboard.press("b");
  await page.keyboard.press("2");
  const [left, top] = task.square;
  await page.mouse.click(...(await on(left + 60, top + 30)));
  await saved();
  assert.ok((await correction(task.painted)).count > before.count);
  await page.keyboard.press("Control+z");
  await saved();
  await session.rest();
  assert.deepEqual(await correction(task.painted), before);
}

async function secondTab() {
  const other = await session.browser.newPage();
  await other.goto(task.url, { waitUntil: "domcontentloaded" });
  await other.waitForFunction(() => window.app?.extensionManager && window.app.canvas?.graph);
  const { revision } = await correction(task.painted);
  const status = await other.evaluate(
    async ([dataset, frame, known]) => {
      const list = await fetch(`/maskloss/viewer/${dataset}`).then((answer) => answer.json());
      const item = list.items.find(({ name }) => name === "one");
      const packed = new Blob([new Uint8Array([255, 255])]).stream().pipeThrough(new CompressionStream("deflate"));
      const place = { left: 0, top: 0, width: 1, height: 1, revision: known, client: "other", frame };
      const path = `/maskloss/viewer/${dataset}/${item.id}/correction?${new URLSearchParams(place)}`;
      const headers = { "Content-Type": "application/octet-stream" };
      const body = await new Response(packed).arrayBuffer();
      return [(await fetch(path, { method: "POST", headers, body })).status, (await fetch(path, { method: "POST", headers, body })).status];
    },
    [await page.evaluate(() => window.viewed), task.painted, revision],
  );
  assert.deepEqual(status, [200, 409], "and who has not seen that is told");
  await viewer.getByText("Changed in another tab").waitFor();
  await other.close();
  await viewer.getByRole("button", { name: /Close/ }).click();
  await viewer.waitFor({ state: "hidden" });
}

async function reloaded() {
  const before = [await line(), await correction(BEHIND)];
  const id = await page.evaluate(() => window.viewed);
  await session.open();
  await session.load(task.prompt, PLACES, "clips");
  await session.runToEnd();
  await page.evaluate((given) => (window.viewed = given), id);
  await openFirst();
  assert.deepEqual([await line(), await correction(BEHIND)], before);
  assert.equal(await state(), "carried", "the frame that stands for it");
}

async function reverted() {
  await goTo(BEHIND);
  await page.keyboard.press("b");
  await page.keyboard.press("1");
  await page.mouse.click(...(await on(140, 80)));
  await saved();
  await page.waitForFunction(() => document.querySelector('.maskloss-film[data-kind="painted"]'));
  assert.deepEqual((await line()).painted, [task.painted, BEHIND, ENDS]);
  page.once("dialog", (dialog) => dialog.accept());
  await viewer.getByRole("button", { name: /Revert the correction/ }).click();
  await page.waitForFunction(() => document.querySelector('.maskloss-film[data-kind="carried"]'));
  assert.deepEqual((await line()).painted, [task.painted, ENDS]);
}

async function labels() {
  const bare = await viewer.locator("button, input, select, textarea, canvas[tabindex]").evaluateAll((controls) =>
    controls.filter((one) => !(one.ariaLabel || one.labels?.[0]?.textContent || one.textContent.trim().length > 1)).map((one) => one.outerHTML),
  );
  assert.deepEqual(bare, []);
}
