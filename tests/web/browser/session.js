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
/** Our files, our routes, our words. What the front end says of itself, a request of its own that a reload cut off for
 * one, is not ours; nor that it looks for help by language first. */
const OURS = /maskloss/i;
const NOT_OURS = /\/docs\/\w+\/\w+\.md/;
/** Looks in a row at which nothing had moved, after which nothing will. */
const STILL = 3000;

export class Session {
  /** Of the task what `editor.js` is given. */
  static async start({ url, chromium: executablePath, pictures }) {
    const browser = await chromium.launch({ executablePath, args: FLAGS });
    const page = await browser.newPage({ viewport: WINDOW });
    // Only for what never comes: nothing is measured by it.
    page.setDefaultTimeout(600 * SECONDS);
    return new Session(browser, page, url, pictures);
  }

  constructor(browser, page, url, pictures) {
    Object.assign(this, { browser, page, url, pictures, complaints: [] });
    page.on("pageerror", (error) => this.note(error.stack ?? String(error)));
    page.on("console", (message) => {
      if (message.type() === "error") this.note(`${message.text()} ${message.location().url}`);
    });
  }

  note(text) {
    if (OURS.test(text) && !NOT_OURS.test(text)) this.complaints.push(text);
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
    await this.rest(2 * SECONDS);
    await this.page.keyboard.press("Escape");
  }

  /** Open with a renderer and a palette. */
  async openWith({ vue, palette }) {
    await this.open();
    const set = ([key, value]) => app.extensionManager.setting.set(key, value);
    await this.page.evaluate(set, ["Comfy.VueNodes.Enabled", vue]);
    await this.page.evaluate(set, ["Comfy.ColorPalette", palette]);
    await this.open();
  }

  /** A prompt as a graph whose nodes stand at these places, by id. */
  async load(prompt, places, name, scale = 0.6) {
    await this.page.evaluate(
      async ([given, placed, file]) => {
        await app.loadApiJson(given, file);
        for (const node of app.graph._nodes) node.pos = placed[node.id] ?? node.pos;
      },
      [prompt, places, `${name}.json`],
    );
    await this.look(null, scale);
  }

  /** Queue the graph, by `press`, and wait for its end. */
  async runToEnd(press = () => this.run()) {
    await this.page.evaluate(() => {
      window.ended = false;
      const end = () => (window.ended = true);
      for (const kind of ["execution_success", "execution_error"]) app.api.addEventListener(kind, end, { once: true });
    });
    await press();
    await this.page.waitForFunction(() => window.ended, null, { timeout: 600 * SECONDS });
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
    await this.rest();
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
    await this.rest();
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

  /** At least so long, and until the page has painted and had time to spare: on a busy machine that is later. */
  async rest(milliseconds = SECONDS) {
    await this.page.waitForTimeout(milliseconds);
    await this.page.evaluate(async (timeout) => {
      for (let round = 0; round < 3; round++) {
        await new Promise((painted) => requestAnimationFrame(() => requestIdleCallback(painted, { timeout })));
      }
    }, SECONDS);
  }

  /** Until `done` says so, however long that takes while the server gets on with what is queued. */
  async poll(done) {
    let before = "";
    for (let still = 0; still < STILL; ) {
      if (await done()) return;
      const now = await this.page.evaluate(progress);
      still = now === before ? still + 1 : 0;
      before = now;
      await this.page.waitForTimeout(SECONDS / 5);
    }
    assert.fail(`nothing moves any more: ${before}`);
  }
}

/** In the page: what changes while the server works. */
async function progress() {
  const [queue, history, training] = await Promise.all(
    ["/queue", "/history", "/maskloss/training"].map((path) => fetch(path).then((answer) => answer.json())),
  );
  const bars = [...document.querySelectorAll(".maskloss-status, [role=progressbar]")];
  return JSON.stringify([
    [queue.queue_running.length, queue.queue_pending.length, Object.keys(history).length],
    training.runs.map(({ run, steps, state }) => [run, steps, state]),
    bars.map((bar) => bar.getAttribute("aria-valuenow") ?? bar.textContent),
  ]);
}
