import { expect, test } from "vitest";

import { inOrder, orderTemplates } from "../../../web/templates.js";

test("templates come by their numbers", () => {
  expect(inOrder(["10 a", "2 b", "1 Test drive"])).toEqual(["1 Test drive", "2 b", "10 a"]);
});

test("ours are put in order, others stay as they are", async () => {
  const told = { "ComfyUI-MaskLoss": ["2 b", "1 a"], Other: ["2 b", "1 a"] };
  const api = { told, getWorkflowTemplates: async function () { return this.told; } };
  orderTemplates(api, "ComfyUI-MaskLoss");
  expect(await api.getWorkflowTemplates()).toEqual({ "ComfyUI-MaskLoss": ["1 a", "2 b"], Other: ["2 b", "1 a"] });
  expect(told["ComfyUI-MaskLoss"]).toEqual(["2 b", "1 a"]);
});

test("a front end that asks otherwise, or has none of ours, is left alone", async () => {
  const api = {};
  orderTemplates(api, "ComfyUI-MaskLoss");
  expect(api).toEqual({});
  const without = { getWorkflowTemplates: async () => undefined };
  orderTemplates(without, "ComfyUI-MaskLoss");
  expect(await without.getWorkflowTemplates()).toBeUndefined();
});
