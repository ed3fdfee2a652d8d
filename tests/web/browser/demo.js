/** The test drive as its user has it: chosen among the templates, started by a click, watched until it is finished. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { SECONDS } from "./session.js";

const PACK = "ComfyUI-MaskLoss";
const TRAINER = "MaskLossTrainLora";

export async function testDrive(session, workflows) {
  const { page } = session;
  const shipped = JSON.parse(readFileSync(join(workflows, "demo.json"), "utf8"));
  const steps = shipped.nodes.find(({ type }) => type === TRAINER).widgets_values[0];
  await session.step("the test drive opens from the templates", async () => {
    await page.getByText("Templates", { exact: true }).first().click();
    await page.getByText(PACK, { exact: true }).first().click();
    const card = page.getByText("demo", { exact: true }).first();
    await card.waitFor();
    await page.waitForTimeout(SECONDS);
    await session.picture("templates");
    await card.click();
    await page.waitForFunction((count) => app.graph._nodes.length === count, shipped.nodes.length);
    await session.look(TRAINER);
  });
  await session.step("its chart moves after a click on Run", async () => {
    await session.run();
    await session.watch();
    await session.poll(() => session.moved());
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
    await session.poll(() => session.moved());
    await session.picture("demo_reloaded");
  });
  await session.step("it finishes", async () => {
    await session.poll(async () => (await session.course()).state !== "running");
    assert.deepEqual(await session.course(), { done: steps, state: "finished" });
    await session.poll(async () => Object.values(await history(page)).length > 0);
    const [entry] = Object.values(await history(page));
    assert.equal(entry.status.status_str, "success");
    await session.picture("demo_finished");
    await session.look("MaskLossDatasetBuildMasks", 0.6);
    await session.picture("demo_people");
    await session.look("MaskLossCacheLatents", 0.6);
    await session.picture("demo_cache");
  });
}

function history(page) {
  return page.evaluate(() => fetch("/history").then((answer) => answer.json()));
}
