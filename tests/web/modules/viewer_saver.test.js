import { expect, test } from "vitest";

import { Refusal } from "../../../web/viewer/client.js";
import { MaskEdit } from "../../../web/viewer/edit.js";
import { Saver } from "../../../web/viewer/saver.js";

/** Four pixels in a row, and a server that keeps them; `answers` are what it does instead, request by request. */
function pair(...answers) {
  const edit = new MaskEdit(4, 1, new Uint8Array(4), new Uint8Array(4), new Uint8Array(4));
  const server = { values: new Uint8Array(4), painted: new Uint8Array(4), revision: "", requests: 0, states: [], waited: [] };
  const saver = new Saver({
    edit,
    revision: "",
    async send(area, planes, revision) {
      server.requests++;
      const instead = answers.shift();
      if (instead) await instead(server);
      if (revision !== server.revision) throw new Refusal(409, { error: "stale", revision: server.revision });
      const width = area.right - area.left;
      for (let at = 0; at < width; at++) {
        server.values[area.left + at] = planes[at];
        server.painted[area.left + at] = planes[width + at];
      }
      server.revision += "+";
      return server.revision;
    },
    stale: async () => ({ values: server.values.slice(), painted: server.painted.slice(), revision: server.revision }),
    told: (state) => server.states.push(state),
    wait: async (ms) => server.waited.push(ms),
  });
  return { edit, server, saver };
}

function put(edit, at, value) {
  const area = { left: at, top: 0, right: at + 1, bottom: 1 };
  edit.begin();
  edit.touch(area);
  edit.put(at, value);
  return edit.end();
}

test("strokes during a request go into the next one, together", async () => {
  const { edit, server, saver } = pair(() => {
    saver.save(put(edit, 1, 20));
    saver.save(put(edit, 3, 40));
  });
  await saver.save(put(edit, 0, 10));
  expect([...server.values]).toEqual([10, 20, 0, 40]);
  expect([...server.painted]).toEqual([255, 255, 0, 255]);
  expect([server.requests, saver.isSaved]).toEqual([2, true]);
  expect(server.states).toEqual(["saving", "saving", "saved"]);
});

test("a server that is away is asked again, ever later, and nothing is lost", async () => {
  const away = () => {
    throw new TypeError("Failed to fetch");
  };
  const { edit, server, saver } = pair(away, away, () => {
    throw new Refusal(502);
  });
  const saving = saver.save(put(edit, 2, 30));
  expect(saver.isSaved).toBe(false);
  await saving;
  expect([...server.values]).toEqual([0, 0, 30, 0]);
  expect(server.waited).toEqual([1000, 2000, 5000]);
  expect(server.states.filter((state) => state === "waiting")).toHaveLength(3);
});

test("what another tab painted stays, with the unkept strokes over it", async () => {
  const { edit, server, saver } = pair((there) => {
    there.values.set([7, 7, 0, 0]);
    there.painted.set([255, 255, 0, 0]);
    there.revision = "theirs";
  });
  await saver.save(put(edit, 1, 20));
  expect([...server.values]).toEqual([7, 20, 0, 0]);
  expect([...edit.shown]).toEqual([7, 20, 0, 0]);
  expect(saver.revision).toBe(server.revision);
});

test("a stroke that is under way goes on over what another tab painted", async () => {
  const { edit, server, saver } = pair((there) => {
    there.values.set([7, 7, 7, 7]);
    there.painted.fill(255);
    there.revision = "theirs";
    edit.begin();
    edit.touch({ left: 2, top: 0, right: 3, bottom: 1 });
    edit.put(2, 30);
  });
  await saver.save(put(edit, 1, 20));
  const more = { left: 3, top: 0, right: 4, bottom: 1 };
  edit.touch(more);
  edit.put(3, 40);
  await saver.save(edit.end());
  expect([...server.values]).toEqual([7, 20, 30, 40]);
});

test("what the server refuses is told and not sent for ever", async () => {
  const { edit, server, saver } = pair(() => {
    throw new Refusal(400, { error: "no room" });
  });
  await saver.save(put(edit, 1, 20));
  expect([server.requests, server.states.at(-1), saver.isSaved]).toEqual([1, "refused", true]);
});

test("nothing is sent after it is closed", async () => {
  const { edit, server, saver } = pair();
  saver.save(put(edit, 0, 10));
  await saver.close();
  await saver.save(put(edit, 1, 20));
  expect([...server.values]).toEqual([10, 0, 0, 0]);
});
