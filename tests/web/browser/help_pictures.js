/**
 * The pictures of help pages: `node help_pictures.js '<JSON>'` with {url, chromium, folder: web/docs/pictures, plain: names
 * of nodes that are shown as they are added, with all inputs, workflow: path of a workflow that is run, ran: names of its
 * nodes that are shown when it is done}. The server is a real one; what the workflow needs lies in its input.
 */

import { readFileSync } from "node:fs";
import { join } from "node:path";

import { SECONDS, Session } from "./session.js";

const MARGIN_PX = 14;
const WIDE_PX = 320;
const QUALITY = 88;
const TALL = { width: 1900, height: 1700 };

const task = JSON.parse(process.argv[2]);
const session = await Session.start({ ...task, pictures: task.folder });
const { page } = session;

try {
  await page.setViewportSize(TALL);
  await session.open();
  await page.evaluate(() => app.extensionManager.setting.set("Comfy.VueNodes.Enabled", true));
  await page.evaluate(() => app.extensionManager.setting.set("Comfy.ColorPalette", "dark"));
  await session.open();
  for (const name of task.plain) {
    await page.evaluate(
      ([type, width]) => {
        app.graph.clear();
        const node = LiteGraph.createNode(type);
        node.showAdvanced = true;
        app.graph.add(node);
        node.pos = [0, 0];
        node.setSize([width, node.computeSize()[1]]);
      },
      [name, WIDE_PX],
    );
    await takePicture(name);
  }
  if (task.workflow) {
    const workflow = JSON.parse(readFileSync(task.workflow, "utf8"));
    await page.evaluate((given) => app.loadGraphData(given, true, true), workflow);
    const before = await ended();
    await session.run();
    await session.poll(async () => (await ended()) > before);
    for (const name of task.ran) await takePicture(name);
  }
} finally {
  await session.browser.close();
}

function ended() {
  return page.evaluate(async () => Object.keys(await (await fetch("/history")).json()).length);
}

/** The first node of a type, at its own size. */
async function takePicture(name) {
  await session.look(name, 1);
  await session.rest(2 * SECONDS);
  const id = await page.evaluate((type) => app.graph._nodes.find((node) => node.type === type).id, name);
  const { x, y, width, height } = await page.locator(`[data-node-id="${id}"]`).first().boundingBox();
  const clip = { x: x - MARGIN_PX, y: y - MARGIN_PX, width: width + 2 * MARGIN_PX, height: height + 2 * MARGIN_PX };
  await page.screenshot({ path: join(task.folder, `${name}.jpg`), clip, type: "jpeg", quality: QUALITY });
}
