import { expect, test } from "vitest";

import { luminance, withAlpha } from "../../../web/theme.js";

test("luminance tells light text from dark, in every way in which browsers write colours", () => {
  expect(luminance("rgb(255, 255, 255)")).toBeCloseTo(255);
  expect(luminance("rgba(0, 0, 0, 0.5)")).toBe(0);
  expect(luminance("color(srgb 1 1 1)")).toBeCloseTo(255);
  expect(luminance("rgb(0, 255, 0)")).toBeGreaterThan(luminance("rgb(0, 0, 255)"));
  expect(luminance("")).toBe(0);
});

test("withAlpha gives any colour another opacity", () => {
  expect(withAlpha("rgb(1, 2, 3)", 0.5)).toBe("rgba(1, 2, 3, 0.5)");
  expect(withAlpha("rgba(1, 2, 3, 0.9)", 0.5)).toBe("rgba(1, 2, 3, 0.5)");
  expect(withAlpha("color(srgb 1 1 1)", 0.5)).toBe("color(srgb 1 1 1)");
});
