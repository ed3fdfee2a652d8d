import { describe, expect, test } from "vitest";

import { bucketsOf, choose, counts, facePx, FILTERS } from "../../../web/viewer/filters.js";
import { commandOf } from "../../../web/viewer/keys.js";
import { cellMeans, colourOf, drawWeights, lookUp, TIER_COLOURS } from "../../../web/viewer/overlay.js";
import { labelOf, stateOf } from "../../../web/viewer/sheet.js";
import { fit, kept, tilesOf, toPicture, trainedArea, zoomed } from "../../../web/viewer/view.js";
import { wordsOf } from "../../../web/viewer/words.js";

const TIERS = { face: 255, hair: 80, body: 128, background: 0 };
const PICTURE = { width: 4000, height: 3000 };
const WINDOW = { width: 1000, height: 1000 };

describe("the view", () => {
  test("fits all of a picture, and never enlarges it", () => {
    expect(fit(PICTURE, WINDOW)).toEqual({ scale: 0.25, x: 0, y: 125 });
    expect(fit({ width: 100, height: 50 }, WINDOW)).toEqual({ scale: 1, x: 450, y: 475 });
  });

  test("keeps the point under the mouse where it is, within limits", () => {
    const view = fit(PICTURE, WINDOW);
    const point = { x: 300, y: 400 };
    const nearer = zoomed(view, PICTURE, WINDOW, point, 3);
    expect(nearer.scale).toBeCloseTo(0.75);
    for (const axis of ["x", "y"]) expect(toPicture(nearer, point)[axis]).toBeCloseTo(toPicture(view, point)[axis]);
    expect(zoomed(view, PICTURE, WINDOW, point, 1e9).scale).toBe(32);
    expect(zoomed(view, PICTURE, WINDOW, point, 1e-9).scale).toBe(0.125);
  });

  test("never loses the picture", () => {
    const { x, y } = kept({ scale: 0.25, x: 5000, y: -5000 }, PICTURE, WINDOW);
    expect([x, y]).toEqual([960, -710]);
  });

  test("asks for the tiles that are seen, as fine as the screen", () => {
    const all = tilesOf(fit(PICTURE, WINDOW), PICTURE, WINDOW);
    expect(all).toHaveLength(4);
    expect(all[0]).toEqual({ level: 2, column: 0, row: 0, left: 0, top: 0, size: 2048 });
    expect(tilesOf(fit(PICTURE, WINDOW), PICTURE, WINDOW, 2)[0].level).toBe(1);
    const near = tilesOf({ scale: 4, x: -4 * 1000, y: -4 * 1000 }, PICTURE, WINDOW);
    expect(near.map(({ level, column, row }) => [level, column, row])).toEqual([[0, 1, 1], [0, 2, 1], [0, 1, 2], [0, 2, 2]]);
  });

  test("knows what is trained on: the middle, in whole cells", () => {
    const area = trainedArea({ width: 400, height: 200 }, [64, 64], 8);
    expect(area).toEqual({ left: 100, top: 0, width: 200, height: 200, cell: 25, columns: 8, rows: 8 });
  });
});

describe("the overlay", () => {
  test("has its colours for tiers, and others for weights between", () => {
    expect(colourOf(255, TIERS)).toEqual(TIER_COLOURS.face);
    expect(colourOf(200, { ...TIERS, face: 200 })).toEqual(TIER_COLOURS.face);
    expect(colourOf(90, TIERS)).not.toEqual(colourOf(91 + 40, TIERS));
    const table = lookUp(TIERS, 0.5);
    expect(table[80]).toBe(((128 << 24) | (40 << 16) | (190 << 8) | 250) >>> 0);
  });

  test("draws each pixel where it lies, and nothing beside the picture", () => {
    const table = lookUp(TIERS, 1);
    const pixels = new Uint32Array(16).fill(1);
    const area = { left: 0, top: 0, right: 4, bottom: 4 };
    drawWeights(pixels, 4, { scale: 1, x: 1, y: 1 }, { width: 2, height: 2 }, new Uint8Array([255, 80, 128, 0]), table, area);
    const [face, hair, body, none] = [255, 80, 128, 0].map((weight) => table[weight]);
    expect([...pixels]).toEqual([0, 0, 0, 0, 0, face, hair, 0, 0, body, none, 0, 0, 0, 0, 0]);
    drawWeights(pixels, 4, { scale: 2, x: 0, y: 0 }, { width: 2, height: 2 }, new Uint8Array([255, 80, 128, 0]), table, {
      left: 1, top: 1, right: 3, bottom: 2,
    });
    expect([...pixels.slice(4, 8)]).toEqual([0, face, hair, 0]);
  });

  test("means of cells are those that training takes", () => {
    const weights = new Uint8Array([0, 100, 200, 200, 100, 200, 200, 200]);
    const area = { left: 0, top: 0, cell: 2, columns: 2, rows: 1 };
    expect([...cellMeans({ width: 4, height: 2 }, weights, area)]).toEqual([100, 200]);
  });
});

const item = (name, more = {}) => ({
  id: name, name, caption: "", mask: "file", revision: "", left_out: "", by_hand: false, done: false, coverage: 0.4,
  faceless: 0, other_base: false, error: "", doubt: [4, 0], faces: [], bucket: [64, 64], width: 64, height: 64, reason: "",
  ...more,
});

describe("filters", () => {
  const items = [
    item("10"), item("9", { doubt: [3, 0.3], revision: "r", other_base: true }), item("close", { doubt: [3, 0.01] }),
    item("gone", { left_out: "nobody" }), item("bare", { mask: "none", coverage: null, caption: "ohwx" }),
    item("little", { coverage: 0.01, done: true, bucket: [96, 64] }), item("bad", { error: "damaged", bucket: null }),
    item("mine", { by_hand: true }), item("two", { faceless: 1 }),
  ];
  const names = (chosen) => choose(items, chosen).map(({ name }) => name);

  test.each([
    ["doubtful", ["gone", "close"]], ["leftOut", ["gone", "mine"]], ["noMask", ["bare"]], ["lowCoverage", ["little"]],
    ["faceless", ["two"]], ["corrected", ["9"]], ["otherBase", ["9"]], ["done", ["little"]], ["broken", ["bad"]],
  ])("%s", (filter, wanted) => expect(names({ filter })).toEqual(wanted));

  test("doubtful ones come first, names in the order of their numbers", () => {
    expect(names({})).toEqual(["bad", "gone", "close", "9", "10", "bare", "little", "mine", "two"]);
    expect(names({ order: "name" }).slice(0, 2)).toEqual(["9", "10"]);
    expect(names({ order: "coverage" })[0]).toBe("little");
  });

  test("bucket and text narrow it further", () => {
    expect(names({ bucket: "96x64" })).toEqual(["little"]);
    expect(names({ text: " OHWX" })).toEqual(["bare"]);
    expect(bucketsOf(items)).toEqual(["64x64", "96x64"]);
    expect(Object.keys(counts(items))).toEqual(Object.keys(FILTERS));
    expect(counts(items).all).toBe(9);
  });

  test("a face is small by what of it is trained", () => {
    const faces = [{ chosen: true, box: [0, 0.25, 1, 0.5] }];
    expect(facePx(item("a", { faces, width: 2000, height: 1000, bucket: [512, 512] }))).toBe(128);
    expect(choose([item("a", { faces })], { filter: "smallFace" })).toHaveLength(1);
    expect(facePx(item("a"))).toBe(Infinity);
  });

  test("a cell shows the worst that is known", () => {
    expect(items.map(stateOf)).toEqual(["", "corrected", "", "out", "", "done", "broken", "out", ""]);
  });
});

test("of several people's items the name comes first", () => {
  expect(labelOf({ name: "2024/a long name@anna", person: "anna" })).toBe("anna · 2024/a long name");
  expect(labelOf({ name: "me@home", person: "" })).toBe("me@home");
  expect(labelOf({ name: "of an older page" })).toBe("of an older page");
});

test("keys do what the words say, and nothing while text is written", () => {
  expect(commandOf({ key: "z", ctrlKey: true })).toBe("undo");
  expect(commandOf({ key: "Z", ctrlKey: true, shiftKey: true })).toBe("redo");
  expect(commandOf({ key: "3" })).toBe("tier2");
  expect(commandOf({ key: "]" })).toBe("larger");
  expect(commandOf({ key: "b" }, true)).toBe(null);
  expect(commandOf({ key: "Escape" }, true)).toBe("leaveText");
  expect(commandOf({ key: "r", ctrlKey: true })).toBe(null);
  expect(commandOf({ key: "toString" })).toBe(null);
});

test("both languages have the same words", () => {
  const shape = (words) =>
    Object.entries(words).map(([key, value]) => [key, typeof value === "object" ? shape(value) : typeof value]);
  expect(shape(wordsOf("zh-TW"))).toEqual(shape(wordsOf("en")));
  expect(wordsOf("fr")).toBe(wordsOf("en"));
  expect(Object.keys(wordsOf("en").filters)).toEqual(Object.keys(FILTERS));
});
