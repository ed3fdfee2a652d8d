import { describe, expect, test } from "vitest";

import { answerOf } from "../../../web/answers.js";

const api = (fetchApi) => ({ fetchApi });

describe("answerOf", () => {
  test("gives what the server answers", async () => {
    const asked = [];
    const known = async (route) => (asked.push(route), { ok: true, json: async () => ({ runs: [1] }) });
    expect(await answerOf(api(known), "/maskloss/training")).toEqual({ runs: [1] });
    expect(asked).toEqual(["/maskloss/training"]);
  });

  test("gives null where the server refuses, and where there is no connection", async () => {
    expect(await answerOf(api(async () => ({ ok: false })), "/a")).toBe(null);
    const cutOff = async () => {
      throw new TypeError("Failed to fetch");
    };
    expect(await answerOf(api(cutOff), "/a")).toBe(null);
    expect(await answerOf(api(async () => ({ ok: true, json: cutOff })), "/a")).toBe(null);
  });

  test("hides no other failure", async () => {
    const broken = async () => {
      throw new RangeError("ours");
    };
    await expect(answerOf(api(broken), "/a")).rejects.toThrow("ours");
    const noJson = async () => ({ ok: true, json: async () => JSON.parse("{") });
    await expect(answerOf(api(noJson), "/a")).rejects.toThrow(SyntaxError);
  });
});
