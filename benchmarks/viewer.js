/**
 * The viewer's part of `viewer.py`: `node viewer.js '<JSON>'` with {url, dataset, chromium, large: the name of the large
 * photograph}. Its last line is JSON.
 */

import { readFileSync } from "node:fs";

import { chromium } from "playwright-core";

const task = JSON.parse(process.argv[2]);
const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--enable-precise-memory-info"];
const browser = await chromium.launch({ executablePath: task.chromium, args });
const page = await browser.newPage({ viewport: { width: 1900, height: 1200 } });
page.setDefaultTimeout(600_000);
const cdp = await browser.newBrowserCDPSession();
const viewer = page.locator("dialog.maskloss-viewer");
const told = {};

try {
  await load();
  told.first_s = await open();
  await load();
  told.again_s = await open();
  told.list_s = await page.evaluate(() => window.listed);
  await scrollThrough();
  told.sheet_mb = await memory();
  await viewer.getByRole("searchbox").fill(task.large);
  const began = Date.now();
  await viewer.locator(`.maskloss-cell[aria-label="${task.large}"]`).click();
  await page.waitForFunction(
    (name) => document.querySelector(".maskloss-viewer").dataset.ready === "true" && document.querySelector(".maskloss-facts").textContent.startsWith(name),
    task.large,
  );
  told.ready_s = (Date.now() - began) / 1000;
  await paint();
  told.painted_mb = await memory();
  console.log(JSON.stringify(told));
} finally {
  await browser.close();
}

async function load() {
  await page.goto(task.url);
  await page.evaluate(async () => {
    const { Client } = await import("/web/viewer/client.js");
    const { Viewer } = await import("/web/viewer/viewer.js");
    const { Stage } = await import("/web/viewer/stage.js");
    window.frames_ms = [];
    const api = {
      apiURL: (path) => path,
      addEventListener: () => undefined,
      fetchApi: async (path, options) => {
        const began = performance.now();
        const answer = await fetch(path, options);
        window.listed ??= (performance.now() - began) / 1000;
        return answer;
      },
    };
    void Stage;
    window.viewer = new Viewer(new Client(api, "bench"), "en");
    // What a frame's callbacks take: that of the stage draws.
    const ask = window.requestAnimationFrame.bind(window);
    window.requestAnimationFrame = (does) =>
      ask((now) => {
        const began = performance.now();
        does(now);
        window.frames_ms.push(performance.now() - began);
      });
  });
}

/** Seconds until every thumbnail of the first sheet is drawn. */
async function open() {
  return page.evaluate(async (dataset) => {
    const began = performance.now();
    window.viewer.open(dataset);
    const drawn = (canvas) => canvas.getContext("2d").getImageData(52, 52, 1, 1).data[3] > 0;
    for (;;) {
      const seen = [...document.querySelectorAll(".maskloss-cell > canvas")].filter((canvas) => {
        const { top, bottom } = canvas.getBoundingClientRect();
        return bottom > 0 && top < innerHeight;
      });
      if (seen.length > 0 && seen.every(drawn)) return (performance.now() - began) / 1000;
      await new Promise((done) => requestAnimationFrame(done));
    }
  }, task.dataset);
}

async function scrollThrough() {
  await page.evaluate(async () => {
    const sheet = document.querySelector(".maskloss-sheet");
    while (sheet.scrollTop + sheet.clientHeight < sheet.scrollHeight - 1) {
      sheet.scrollTop += sheet.clientHeight;
      await new Promise((done) => setTimeout(done, 150));
    }
    sheet.scrollTop = 0;
    await new Promise((done) => setTimeout(done, 2000));
  });
}

/** A long stroke with the mouse. */
async function paint() {
  await page.keyboard.press("3");
  const box = await viewer.locator(".maskloss-stage > canvas").last().boundingBox();
  await page.evaluate(() => {
    window.frames_ms.length = 0;
    window.moves_ms = [];
    const canvas = [...document.querySelectorAll(".maskloss-stage > canvas")].at(-1);
    let began = 0;
    canvas.parentElement.addEventListener("pointermove", () => (began = performance.now()), true);
    canvas.addEventListener("pointermove", () => window.moves_ms.push(performance.now() - began));
  });
  const [x, y] = [box.x + box.width * 0.3, box.y + box.height * 0.3];
  await page.mouse.move(x, y);
  await page.mouse.down();
  for (let step = 1; step <= 120; step++) {
    await page.mouse.move(x + box.width * 0.4 * (step / 120), y + box.height * 0.3 * Math.abs(Math.sin(step / 12)));
  }
  const ended = Date.now();
  await page.mouse.up();
  await page.waitForFunction(() => document.querySelector(".maskloss-message").dataset.state === "saved");
  told.saved_s = (Date.now() - ended) / 1000;
  const { moves, frames } = await page.evaluate(() => ({ moves: window.moves_ms, frames: window.frames_ms }));
  told.moves = moves.length;
  [told.move_ms, told.worst_move_ms] = middleAndWorst(moves);
  [told.draw_ms, told.worst_draw_ms] = middleAndWorst(frames);
}

function middleAndWorst(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  return [sorted[Math.floor(sorted.length / 2)] ?? 0, sorted.at(-1) ?? 0];
}

/** MB that the page's process holds of its own, without what nobody needs any more. */
async function memory() {
  await (await page.context().newCDPSession(page)).send("HeapProfiler.collectGarbage");
  const { processInfo } = await cdp.send("SystemInfo.getProcessInfo");
  const held = processInfo.filter(({ type }) => type === "renderer").map(({ id }) => {
    const status = readFileSync(`/proc/${id}/smaps_rollup`, "utf8");
    return Number(/^Private_Dirty:\s+(\d+)/m.exec(status)[1]) / 1024;
  });
  return Math.max(...held);
}
