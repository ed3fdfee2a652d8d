/**
 * What nodes warn of is seen on them: `node warnings.js '<JSON>'` with what editor.js is given, and `photos`: the folder
 * whose photographs have no captions. Ends with 1 and says why.
 */

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { Session } from "./session.js";

const task = JSON.parse(process.argv[2]);
const session = await Session.start(task);
const { page } = session;
const PLACES = { 1: [0, 0], 2: [0, 170], 3: [420, 0], 4: [420, 370], 5: [820, 0] };

try {
  await session.openWith(task);
  await session.load(task.prompt, PLACES, "warnings");
  await session.step("every node shows its own when all is over", shown);
  await session.step("the workflow knows nothing of them", nothingIsSaved);
  await session.step("a reload keeps the trainer's", async () => {
    await page.reload({ waitUntil: "domcontentloaded" });
    await page.locator(".maskloss-panel .maskloss-warnings li").first().waitFor();
  });
  await session.step("results from ComfyUI's cache say theirs again", replayed);
  await session.look(null, 0.6);
  await session.step("they go when there is nothing to warn of any more", theyGo);
  await session.step("the console has no error", () => assert.deepEqual(session.complaints, []));
} finally {
  await session.picture("end").catch(() => undefined);
  await session.browser.close();
}

async function shown() {
  await session.runToEnd();
  const loader = page.locator(".maskloss-warnings:visible", { hasText: "4 images have no caption: a, b, c, d" });
  await loader.waitFor();
  const trainer = page.locator(".maskloss-panel .maskloss-warnings:visible");
  await trainer.waitFor();
  assert.match(await trainer.innerText(), /4 of 4 cached items have a mask, but no mask_loss is connected/);
  assert.equal(await page.locator(".maskloss-warnings:visible").count(), 2);
  for (const list of [loader, trainer]) {
    const { readable, inside } = await list.evaluate((element) => {
      const box = element.getBoundingClientRect();
      const item = element.querySelector("li").getBoundingClientRect();
      return { readable: item.width > 40 && item.height > 5, inside: item.top >= box.top && item.bottom <= box.bottom + 1 };
    });
    assert.ok(readable && inside, "it can be read");
  }
  await session.picture("warnings");
  const outputs = await page.evaluate(async () => {
    const history = await (await fetch("/history")).json();
    return Object.values(history).at(-1).outputs;
  });
  assert.deepEqual(outputs["2"].warnings, ["4 images have no caption: a, b, c, d"]);
  assert.equal(outputs["5"].warnings.length, 1);
  assert.deepEqual(outputs["1"].warnings, []);
}

async function replayed() {
  assert.equal(await page.locator(".maskloss-warnings:visible").count(), 1);
  await session.runToEnd();
  await page.locator(".maskloss-warnings:visible", { hasText: "4 images have no caption" }).waitFor();
  const messages = await page.evaluate(async () => Object.values(await (await fetch("/history")).json()).at(-1).status.messages);
  const [, { nodes }] = messages.find(([kind]) => kind === "execution_cached");
  assert.ok(nodes.includes("2") && nodes.includes("5"), `${nodes} came from the cache`);
}

async function nothingIsSaved() {
  const { output, workflow } = await page.evaluate(() => app.graphToPrompt());
  const names = Object.values(output).flatMap(({ inputs }) => Object.keys(inputs));
  assert.deepEqual(names.filter((name) => name.startsWith("maskloss")), []);
  assert.ok(!JSON.stringify(workflow).includes("no caption"));
}

async function theyGo() {
  for (const name of "abcd") writeFileSync(join(task.photos, `${name}.txt`), "a person");
  await session.runToEnd();
  await page.waitForFunction(() => !document.body.innerText.includes("no caption"));
  assert.equal(await page.locator(".maskloss-warnings:visible").count(), 1);
  await session.picture("gone");
}
