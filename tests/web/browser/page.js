/**
 * The page of a run is opened from disk, and its photographs are looked through: `node page.js '<JSON>'` with {page,
 * chromium, pictures, names: those of the photographs, shown: [x, y, a colour's three parts] of the open one's overlay}.
 * Ends with 1 and says why.
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

import { chromium } from "playwright-core";

const task = JSON.parse(process.argv[2]);
const browser = await chromium.launch({ executablePath: task.chromium, args: ["--no-sandbox", "--disable-gpu", "--disable-quic"] });
try {
  const page = await browser.newPage({ viewport: { width: 1400, height: 900 } });
  page.setDefaultTimeout(120_000);
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(error.stack));
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  page.on("request", (request) => assert.match(request.url(), /^(file|data|blob):/, "nothing is asked of a server"));
  await page.goto(pathToFileURL(task.page).href);
  const viewer = page.locator("dialog.maskloss-viewer");
  await page.getByRole("button", { name: "Look through" }).click();
  await viewer.waitFor();
  const names = () => viewer.locator(".maskloss-cell").evaluateAll((cells) => cells.map((cell) => cell.ariaLabel).sort());
  assert.deepEqual(await names(), task.names);
  await viewer.locator(`.maskloss-cell[aria-label="${task.open}"]`).click();
  await page.locator('dialog.maskloss-viewer[data-ready="true"]').waitFor();
  await settled(page);
  await page.screenshot({ path: join(task.pictures, "page_viewer.png") });

  // The overlay has the weights' colours in their places.
  const colours = await page.evaluate((places) => {
    const canvas = document.querySelectorAll(".maskloss-stage canvas")[1];
    const context = canvas.getContext("2d");
    return places.map(([x, y]) => [...context.getImageData(canvas.width * x, canvas.height * y, 1, 1).data]);
  }, task.places);
  for (const [at, [red, green, blue, alpha]] of colours.entries()) {
    assert.ok(alpha > 100, `nothing at ${task.places[at]}`);
    const off = task.colours[at].map((part, index) => Math.abs(part - [red, green, blue][index]));
    assert.ok(Math.max(...off) <= 4, `${[red, green, blue]} at ${task.places[at]}, not ${task.colours[at]}`);
  }

  // Nothing can be changed, by whatever key or press.
  const drawn = () => page.evaluate(() => document.querySelectorAll(".maskloss-stage canvas")[1].toDataURL());
  const before = await drawn();
  for (const key of ["b", "1", "p", "e", "f", "h", "n", ".", ",", "Control+z", "m", "l", "Enter"]) await page.keyboard.press(key);
  await page.mouse.move(700, 450);
  await page.mouse.down();
  await page.mouse.up();
  await settled(page);
  assert.equal(await drawn(), before);
  for (const name of ["Brush", "Undo", "Take paint away", "Done", "Revert"]) {
    assert.equal(await viewer.getByRole("button", { name }).or(viewer.getByRole("checkbox", { name })).filter({ visible: true }).count(), 0, name);
  }
  assert.equal(await viewer.getByRole("textbox", { name: "Caption" }).evaluate((field) => field.readOnly), true);

  // Looking is all there: filters, the grid, the next one, faces.
  await page.keyboard.press("g");
  await settled(page);
  assert.notEqual(await drawn(), before);
  await viewer.getByRole("combobox", { name: "Show" }).selectOption("leftOut");
  assert.deepEqual(await names(), task.leftOut);
  await viewer.getByRole("combobox", { name: "Show" }).selectOption("all");
  await page.keyboard.press("w");
  await settled(page);
  await page.screenshot({ path: join(task.pictures, "page_viewer_faces.png") });
  await page.keyboard.press("Escape");
  await viewer.waitFor({ state: "hidden" });
  assert.deepEqual(complaints, []);
} finally {
  await browser.close();
}

async function settled(page) {
  await page.waitForTimeout(500);
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
}
