/**
 * In a group photograph the person is chosen by a click, regions are proposed, and a pen and fingers do what they should:
 * `node people.js '<JSON>'` with what editor.js is given. Ends with 1 and says why.
 */

import assert from "node:assert/strict";

import { SECONDS, Session } from "./session.js";

const task = JSON.parse(process.argv[2]);
const session = await Session.start(task);
const { page } = session;
page.setDefaultTimeout(180 * SECONDS);
const viewer = page.locator("dialog.maskloss-viewer");
const canvas = viewer.locator(".maskloss-stage > canvas").last();
const banner = viewer.locator(".maskloss-banner");
const ready = page.locator('dialog.maskloss-viewer[data-ready="true"]');
let dataset;
page.on("response", (answer) => (dataset = /\/maskloss\/viewer\/([0-9a-f]{16})$/.exec(answer.url())?.[1] ?? dataset));

try {
  await session.openWith(task);
  await page.evaluate(async (given) => {
    await app.loadApiJson(given, "people.json");
    app.graph._nodes.forEach((node, index) => (node.pos = [(index % 4) * 420, Math.floor(index / 4) * 560]));
  }, task.prompt);
  await session.runToEnd();
  await page.evaluate(() => app.canvas.selectNode(app.graph._nodes.find(({ type }) => type === "MaskLossDatasetKeepPerson")));
  await page.keyboard.press("Alt+Shift+L");
  await viewer.locator('.maskloss-cell[aria-label="two_people"]').click();
  await ready.waitFor();
  await session.step("the faces are shown, and the other one is chosen by a click", chosen);
  await session.step("a region is proposed by a click and painted", clicked);
  await session.step("a region is proposed in a box, and dropped", boxed);
  await session.step("a pen paints, while fingers move the picture", pen);
  await session.step("what is said can be read, as WCAG wants it", contrast);
  await session.step("the next run keeps the one who was chosen", async () => {
    await viewer.getByRole("button", { name: /Close/ }).click();
    await session.runToEnd();
  });
  await session.step("the console has no error", () => assert.deepEqual(session.complaints, []));
} finally {
  await session.picture("people_end").catch(() => undefined);
  await session.browser.close();
}

/** The open photograph as the server knows it, and what is painted of it: how many pixels of each weight. */
async function known() {
  return page.evaluate(async (id) => {
    const { items } = await fetch(`/maskloss/viewer/${id}`).then((answer) => answer.json());
    const item = items.find(({ name }) => name === "two_people");
    const answer = await fetch(`/maskloss/viewer/${id}/${item.id}/correction`);
    const bytes = new Uint8Array(await new Response(answer.body.pipeThrough(new DecompressionStream("deflate"))).arrayBuffer());
    const size = bytes.length / 2;
    const painted = {};
    let right = 0;
    for (let at = 0; at < size; at++) {
      if (!bytes[size + at]) continue;
      painted[bytes[at]] = (painted[bytes[at]] ?? 0) + 1;
      if (at % item.width > item.width / 2) right++;
    }
    return { ...item, painted, right };
  }, dataset);
}

/** Where a place of the picture, in fractions, lies on the screen while all of it is shown. */
async function at(x, y) {
  const [box, item] = [await canvas.boundingBox(), await known()];
  const scale = Math.min(box.width / item.width, box.height / item.height, 1);
  return [
    box.x + (box.width - item.width * scale) / 2 + x * item.width * scale,
    box.y + (box.height - item.height * scale) / 2 + y * item.height * scale,
  ];
}

/** Until it is so, within a minute: no server works that long on it. */
async function until(isSo) {
  for (let look = 0; look < 300; look++) {
    if (await isSo()) return;
    await page.waitForTimeout(SECONDS / 5);
  }
  assert.fail(`${isSo} never is so: ${JSON.stringify(await known())}`);
}

async function saved() {
  await page.waitForFunction(() => document.querySelector(".maskloss-message")?.dataset.state === "saved");
}

async function chosen() {
  const before = await known();
  assert.equal(before.faces.length, 2);
  assert.equal(before.faces[1].chosen, true, "the one on the right is recognised");
  await page.keyboard.press("w");
  await session.rest();
  await session.picture("people_faces");
  const [left, top, right, bottom] = before.faces[0].box;
  await page.mouse.click(...(await at((left + right) / 2, (top + bottom) / 2)));
  await banner.getByText("from the next run").waitFor();
  assert.equal((await known()).face_by_hand, 0);
  await page.keyboard.press("n");
  await page.keyboard.press("n");
  await page.keyboard.press("n");
  await until(async () => (await known()).face_by_hand === 0);
  await session.picture("people_chosen");
}

async function clicked() {
  await page.keyboard.press("h");
  await page.keyboard.press("3");
  await page.mouse.click(...(await at(0.2, 0.75)));
  await banner.getByText("Proposed").waitFor();
  await session.rest();
  await session.picture("people_proposed");
  assert.deepEqual((await known()).painted, {}, "nothing is painted yet");
  await page.keyboard.press("Enter");
  await saved();
  const { painted, right, width, height } = await known();
  assert.deepEqual(Object.keys(painted), ["128"]);
  assert.ok(painted[128] > 0.1 * width * height, JSON.stringify(painted));
  assert.ok(right < 0.02 * painted[128], `${right} of ${painted[128]} are the other one's`);
  await page.keyboard.press("Control+z");
  await until(async () => (await known()).revision === "");
}

async function boxed() {
  await page.mouse.move(...(await at(0.55, 0.1)));
  await page.mouse.down();
  await page.mouse.move(...(await at(0.9, 0.9)), { steps: 5 });
  await page.mouse.up();
  await banner.getByText("Proposed").waitFor();
  await session.picture("people_box");
  await page.keyboard.press("Escape");
  assert.ok(await viewer.isVisible(), "Escape drops what is proposed first");
  await banner.waitFor({ state: "hidden" });
  assert.equal((await known()).revision, "");
}

async function pen() {
  await page.keyboard.press("b");
  await page.keyboard.press("4");
  const cdp = await page.context().newCDPSession(page);
  const [x, y] = await at(0.3, 0.3);
  const press = { button: "left", clickCount: 1, pointerType: "pen" };
  await cdp.send("Input.dispatchMouseEvent", { type: "mousePressed", x, y, ...press });
  for (let step = 1; step <= 5; step++) {
    await cdp.send("Input.dispatchMouseEvent", { type: "mouseMoved", x: x + 10 * step, y, ...press, buttons: 1 });
  }
  await cdp.send("Input.dispatchMouseEvent", { type: "mouseReleased", x: x + 50, y, ...press });
  await saved();
  const before = await known();
  assert.deepEqual(Object.keys(before.painted), ["0"]);
  const drawn = () => page.evaluate(() => document.querySelectorAll(".maskloss-stage canvas")[0].toDataURL());
  await session.rest();
  const still = await drawn();
  const touch = (type, ...points) =>
    cdp.send("Input.dispatchTouchEvent", { type, touchPoints: points.map(([px, py], id) => ({ x: px, y: py, id })) });
  await touch("touchStart", [x, y]);
  await touch("touchMove", [x + 60, y + 40]);
  await touch("touchEnd");
  await session.rest();
  const moved = await drawn();
  assert.notEqual(moved, still, "one finger moves, where there is a pen");
  await touch("touchStart", [x, y], [x + 100, y]);
  await touch("touchMove", [x - 60, y], [x + 160, y]);
  await touch("touchEnd");
  await session.rest();
  assert.notEqual(await drawn(), moved, "two fingers zoom");
  assert.deepEqual((await known()).painted, before.painted, "no finger painted");
  await page.keyboard.press("0");
}

/** Texts against what lies behind them: 4.5 to 1, of large ones and of signs 3 to 1. */
async function contrast() {
  for (const palette of ["dark", "light"]) {
    await page.evaluate((name) => app.extensionManager.setting.set("Comfy.ColorPalette", name), palette);
    await session.rest();
    const low = await page.evaluate(() => {
      const canvas = new OffscreenCanvas(1, 1);
      const context = canvas.getContext("2d", { willReadFrequently: true });
      /** [r, g, b] of a colour over another. */
      const over = (colour, below) => {
        context.fillStyle = `rgb(${below.join(" ")})`;
        context.fillRect(0, 0, 1, 1);
        context.fillStyle = colour;
        context.fillRect(0, 0, 1, 1);
        return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
      };
      const behind = (element) => (element ? over(getComputedStyle(element).backgroundColor, behind(element.parentElement)) : [0, 0, 0]);
      const luminance = (colour) => {
        const [red, green, blue] = colour.map((part) => (part <= 10 ? part / 3294 : ((part / 255 + 0.055) / 1.055) ** 2.4));
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
      };
      const bad = [];
      for (const element of document.querySelectorAll(".maskloss-viewer *")) {
        const text = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
        if (!text && !element.matches("select, input, textarea")) continue;
        if (!element.checkVisibility() || element.disabled || element.matches("option")) continue;
        const style = getComputedStyle(element);
        const ground = behind(element);
        const ink = over(style.color, ground).map((part, at) => part * style.opacity + ground[at] * (1 - style.opacity));
        const [low, high] = [luminance(ground), luminance(ink)].sort((a, b) => a - b);
        const ratio = (high + 0.05) / (low + 0.05);
        const sign = element.textContent.trim().length <= 1 && !element.matches("select, input, textarea");
        if (ratio < (sign ? 3 : 4.5)) bad.push(`${element.outerHTML.slice(0, 90)}: ${ratio.toFixed(2)}`);
      }
      return bad;
    });
    assert.deepEqual(low, [], palette);
    await session.picture(`people_${palette}`);
  }
}
