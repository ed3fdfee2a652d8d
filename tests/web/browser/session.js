/** One page of a real editor, and what every step does in it. */

import assert from "node:assert/strict";
import { join } from "node:path";

import { chromium } from "playwright-core";

export const SECONDS = 1000;
export const WINDOW = { width: 1900, height: 1200 };
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

export class Session {
  /** Of the task what `editor.js` is given. */
  static async start({ url, chromium: executablePath, pictures }) {
    const browser = await chromium.launch({ executablePath, args: FLAGS });
    const page = await browser.newPage({ viewport: WINDOW });
    page.setDefaultTimeout(120 * SECONDS);
    return new Session(browser, page, url, pictures);
  }

  constructor(browser, page, url, pictures) {
    Object.assign(this, { browser, page, url, pictures, complaints: [] });
    page.on("pageerror", (error) => this.complaints.push(error.stack));
    page.on("console", (message) => {
      const text = `${message.text()} ${message.location().url}`;
      if (message.type() === "error" && !NOT_OURS.test(text)) this.complaints.push(text);
    });
  }

  /** The training panels that are to be seen. */
  get panel() {
    return this.page.locator(".maskloss-panel:visible");
  }

  async step(name, does) {
    const began = Date.now();
    try {
      await does();
      console.log(`${name} (${((Date.now() - began) / SECONDS).toFixed(1)} s)`);
    } catch (error) {
      error.message = `${name}: ${error.message}\nconsole: ${this.complaints.join("\n")}`;
      throw error;
    }
  }

  async picture(name) {
    await this.page.screenshot({ path: join(this.pictures, `${name}.png`) });
  }

  /** The editor as the address gives it: for the first time, or as a reload. */
  async open() {
    await this.page.goto(this.url, { waitUntil: "domcontentloaded" });
    await this.page.waitForFunction(() => window.app?.extensionManager && window.app.canvas?.graph);
    await this.page.waitForTimeout(2 * SECONDS);
    await this.page.keyboard.press("Escape");
  }

  async run() {
    await this.page.getByRole("button", { name: /^Run/ }).first().click();
  }

  /** The open graph from its beginning, or a node of a type, below what ComfyUI shows above its nodes. */
  async look(type = null, scale = 0.75) {
    await this.page.evaluate(
      ([wanted, size]) => {
        const [x, y] = app.canvas.graph._nodes.find((node) => node.type === wanted)?.pos ?? [-40, 0];
        app.canvas.ds.scale = size;
        app.canvas.ds.offset = [160 / size - x, 150 / size - y];
        app.canvas.setDirty(true, true);
      },
      [type, scale],
    );
    await this.page.waitForTimeout(SECONDS);
  }

  /** All of the open graph in the window. */
  async fit() {
    await this.page.evaluate(() => {
      const boxes = app.graph._nodes.map(({ pos, size }) => [...pos, pos[0] + size[0], pos[1] + size[1]]);
      const [left, top] = [0, 1].map((at) => Math.min(...boxes.map((box) => box[at])));
      const [right, bottom] = [2, 3].map((at) => Math.max(...boxes.map((box) => box[at])));
      app.canvas.ds.scale = Math.min((innerWidth - 150) / (right - left), (innerHeight - 250) / (bottom - top));
      app.canvas.ds.offset = [100 / app.canvas.ds.scale - left, 150 / app.canvas.ds.scale - top];
      app.canvas.setDirty(true, true);
    });
    await this.page.waitForTimeout(SECONDS);
  }

  /** From now on take note of what a running panel shows, for `moves`. */
  async watch() {
    await this.page.evaluate((every) => {
      window.watched = { steps: new Set(), drawn: new Set() };
      setInterval(() => {
        const panel = document.querySelector('.maskloss-panel[data-state="running"]');
        if (!panel) return;
        window.watched.steps.add(panel.querySelector(".maskloss-status b").textContent);
        window.watched.drawn.add(panel.querySelector("canvas").toDataURL());
      }, every);
    }, SECONDS / 4);
  }

  /** Until the running panel has shown another step and another drawing than at first. */
  async moves() {
    await this.poll(async () => {
      const { steps, drawn, over } = await this.page.evaluate(() => ({
        steps: window.watched.steps.size,
        drawn: window.watched.drawn.size,
        over: document.querySelector('.maskloss-panel[data-state="finished"]') !== null,
      }));
      if (steps > 1 && drawn > 1) return true;
      assert.ok(!over, `the run was over after ${steps} steps and ${drawn} drawings had been seen`);
      return false;
    });
  }

  /** The steps done and the state, as a panel says them. */
  async course(which = this.panel) {
    const [text, state] = await which.evaluate((panel) => [
      panel.querySelector(".maskloss-status b")?.textContent ?? "",
      panel.dataset.state,
    ]);
    return { done: Number(/ ([\d,]+) \//.exec(text)?.[1].replaceAll(",", "") ?? 0), state };
  }

  /** The runs that the server keeps. */
  async runs() {
    const answer = await this.page.evaluate(() => fetch("/maskloss/training").then((told) => told.json()));
    return answer.runs;
  }

  async poll(done, seconds = 300) {
    for (const end = Date.now() + seconds * SECONDS; Date.now() < end; ) {
      if (await done()) return;
      await this.page.waitForTimeout(SECONDS / 5);
    }
    assert.fail(`not within ${seconds} s`);
  }
}
