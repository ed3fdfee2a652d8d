/** Workflows as their users have them: chosen among the templates, started by a click, watched until they are finished. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { WINDOW } from "./session.js";

const PACK = "ComfyUI-MaskLoss";
const TRAINER = "MaskLossTrainLora";
const TEST_DRIVE = "1 Test drive";
const ONE_PERSON = "4 One person out of a group";
/** Little more than the trainer: without a graphics card a large window is painted too slowly to see a run in it. */
const SMALL_WINDOW = { width: 1000, height: 1000 };
/** More than are done while the slowest page is looked at: that run is interrupted. */
const LONG = { steps: 100_000, output_name: "loras/long" };

export async function testDrive(session, workflows) {
  const { page } = session;
  const shipped = JSON.parse(readFileSync(join(workflows, `${TEST_DRIVE}.json`), "utf8"));
  const trainer = shipped.nodes.find(({ type }) => type === TRAINER);
  const steps = trainer.widgets_values[0];
  let own;
  await session.step("the test drive opens from the templates", async () => {
    await openTemplate(session, TEST_DRIVE, shipped.nodes.length, true);
    await page.setViewportSize(SMALL_WINDOW);
    await session.look(TRAINER);
    own = await setWidgets(page, { [trainer.id]: LONG });
  });
  await session.step("its chart moves after a click on Run", async () => {
    await session.run();
    await session.watch();
    await session.moves();
    await session.picture("demo_training");
  });
  await session.step("its chart moves on after a reload", async () => {
    const before = await session.course();
    assert.equal(before.state, "running");
    await session.open();
    await session.look(TRAINER);
    await session.watch();
    const after = await session.course();
    assert.ok(after.done >= before.done, `${before.done} steps before, ${after.done} after`);
    await session.moves();
    await session.picture("demo_reloaded");
    const shown = await page.evaluate(() => {
      const node = app.graph._nodes.find(({ type }) => type === "MaskLossDatasetKeepPerson");
      const { images, table } = app.nodeOutputs[node.id];
      return { images: images.length, rows: table.length, parts: node.widgets.map(({ name }) => name) };
    });
    assert.equal(shown.images, 1, "its contact sheet");
    assert.ok(shown.rows > 1 && shown.parts.includes("maskloss_summary"), JSON.stringify(shown));
  });
  await session.step("it is interrupted", async () => {
    await page.evaluate(() => fetch("/interrupt", { method: "POST" }));
    await session.poll(async () => (await session.course()).state !== "running");
    assert.equal((await session.course()).state, "interrupted");
    await session.poll(async () => (await ended(page)).length === 1);
  });
  await session.step("it finishes", async () => {
    await setWidgets(page, own);
    await session.run();
    await succeeds(session, 2);
    await session.poll(async () => (await session.course()).state === "finished");
    assert.deepEqual(await session.course(), { done: steps, state: "finished" });
    await session.picture("demo_finished");
    await page.setViewportSize(WINDOW);
    await session.look("MaskLossDatasetBuildMasks", 0.6);
    await session.picture("demo_people");
    await session.look("MaskLossCacheLatents", 0.6);
    await session.picture("demo_cache");
  });
  await session.step("nothing of its progress stays", async () => {
    const texts = await page.evaluate(() =>
      app.graph._nodes.flatMap(({ title, widgets }) => (widgets ?? []).filter(({ name }) => name.startsWith("$$node-text")).map(() => title)),
    );
    assert.deepEqual(texts, []);
  });
  await session.step("a row of the table opens", async () => {
    await session.look("MaskLossDatasetKeepPerson", 1);
    const row = page.locator(".maskloss-table:visible details").first();
    await row.locator("summary").click();
    await row.locator("p:visible").waitFor();
    await session.picture("demo_table");
  });
  await session.step("the report opens", () => reportOpens(session));
}

async function reportOpens(session) {
  const { page } = session;
  await session.look("MaskLossReport", 1);
  const part = page.locator(".maskloss-report:visible");
  await page.waitForFunction(() => [...document.querySelectorAll(".maskloss-report img")].every(({ naturalWidth }) => naturalWidth > 0));
  assert.ok((await part.locator("img").count()) > 0);
  await session.picture("demo_report");
  const opened = page.context().waitForEvent("page");
  await part.locator(".maskloss-report-link").click();
  const report = await opened;
  await report.getByRole("heading", { name: "What was trained, and on whom" }).waitFor();
  const first = report.locator("article img").first();
  await first.scrollIntoViewIfNeeded();
  await report.waitForFunction(() => document.querySelector("article img").naturalWidth > 0);
  const reached = await report.evaluate(() => fetch("/queue").then(() => "an answer", String));
  assert.match(reached, /TypeError/, "it asks ComfyUI nothing");
  await report.close();
}

/** `changed` has the widgets' values that a user sets first, by node id and name. */
export async function onePersonIsFound(session, changed) {
  const { page } = session;
  await openTemplate(session, ONE_PERSON, 13);
  await setWidgets(page, changed);
  const before = await ended(page);
  await session.run();
  await succeeds(session, before.length + 1);
  await page.locator(".maskloss-faces rect").first().waitFor();
  await session.fit();
  await session.picture("one_person");
}

/** By node id and name; returns what was there before. */
function setWidgets(page, changed) {
  return page.evaluate((values) => {
    const before = {};
    for (const [id, named] of Object.entries(values)) {
      before[id] = {};
      for (const [name, value] of Object.entries(named)) {
        const widget = app.graph.getNodeById(Number(id)).widgets.find((each) => each.name === name);
        before[id][name] = widget.value;
        widget.value = value;
        widget.callback?.(value);
      }
    }
    return before;
  }, changed);
}

/** Choose a template of the pack, which is the first one there is if it `leads`. */
async function openTemplate(session, name, nodes, leads = false) {
  const { page } = session;
  await page.evaluate(() => app.extensionManager.command.execute("Comfy.BrowseTemplates"));
  await page.getByText(PACK, { exact: true }).first().click();
  const card = page.getByText(name, { exact: true }).first();
  await card.waitFor();
  await session.rest();
  await session.picture("templates");
  if (leads) {
    const before = await page.getByText(/^\d+ [A-Z]/).allInnerTexts();
    assert.equal(before[0], name, before.join(", "));
  }
  await card.click();
  await page.waitForFunction((count) => app.graph._nodes.length === count, nodes);
}

/** Until so many prompts have ended; the last one well. */
async function succeeds(session, count) {
  await session.poll(async () => (await ended(session.page)).length === count);
  assert.equal((await ended(session.page)).at(-1).status.status_str, "success");
}

async function ended(page) {
  return Object.values(await page.evaluate(() => fetch("/history").then((answer) => answer.json())));
}
