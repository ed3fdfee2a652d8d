import { describe, expect, test } from "vitest";

import { MaskEdit, union } from "../../../web/viewer/edit.js";
import { brush, fillRegion, growRegions, polygon } from "../../../web/viewer/tools.js";

/** A mask of `rows` ("aab"), each letter a weight, without a correction. */
function edited(...rows) {
  const base = new Uint8Array(rows.join("").split("").map((letter) => letter.charCodeAt(0)));
  return new MaskEdit(rows[0].length, rows.length, base, new Uint8Array(base.length), new Uint8Array(base.length));
}

const X = "x".charCodeAt(0);

function rowsOf(edit, plane = edit.shown) {
  const text = String.fromCharCode(...plane);
  return text.match(new RegExp(`.{${edit.width}}`, "gs"));
}

function stroke(edit, does) {
  edit.begin();
  does(edit);
  return edit.end();
}

test("what is not painted is the mask under it, and painting over it counts", () => {
  const base = new Uint8Array([1, 2, 3, 4]);
  const edit = new MaskEdit(2, 2, base, new Uint8Array([9, 9, 9, 9]), new Uint8Array([255, 0, 0, 255]));
  expect([...edit.shown]).toEqual([9, 2, 3, 9]);
  expect([...base]).toEqual([1, 2, 3, 4]);
  expect([...edit.pack({ left: 0, top: 0, right: 2, bottom: 2 })]).toEqual([9, 0, 0, 9, 255, 0, 0, 255]);
  expect([...edit.pack({ left: 1, top: 0, right: 2, bottom: 2 })]).toEqual([0, 9, 0, 255]);
});

describe("the brush", () => {
  test("paints the pixels whose centres it covers, round and without soft edges", () => {
    const edit = edited("aaaaa", "aaaaa", "aaaaa", "aaaaa", "aaaaa");
    stroke(edit, () => brush(edit, { x: 2.5, y: 2.5 }, { x: 2.5, y: 2.5 }, 2, X));
    expect(rowsOf(edit)).toEqual(["aaxaa", "axxxa", "xxxxx", "axxxa", "aaxaa"]);
  });

  test("paints everything between two points", () => {
    const edit = edited("aaaaaa", "aaaaaa", "aaaaaa");
    stroke(edit, () => brush(edit, { x: 0.5, y: 1.5 }, { x: 5.5, y: 1.5 }, 0.6, X));
    expect(rowsOf(edit)).toEqual(["aaaaaa", "xxxxxx", "aaaaaa"]);
  });

  test("thinner than a pixel still paints one, and outside the picture none", () => {
    const edit = edited("aaa", "aaa");
    stroke(edit, () => brush(edit, { x: 1.1, y: 0.2 }, { x: 1.1, y: 0.2 }, 0.1, X));
    expect(rowsOf(edit)).toEqual(["axa", "aaa"]);
    expect(stroke(edit, () => brush(edit, { x: -9, y: -9 }, { x: -9, y: -9 }, 2, X))).toBe(null);
  });

  test("takes paint away again", () => {
    const edit = edited("aaa");
    stroke(edit, () => brush(edit, { x: 0, y: 0.5 }, { x: 3, y: 0.5 }, 1, X));
    stroke(edit, () => brush(edit, { x: 1.5, y: 0.5 }, { x: 1.5, y: 0.5 }, 0.5, null));
    expect(rowsOf(edit)).toEqual(["xax"]);
    expect([...edit.painted]).toEqual([255, 0, 255]);
  });
});

test("a polygon paints what lies in it, and not what its turns leave out", () => {
  const edit = edited("aaaaaa", "aaaaaa", "aaaaaa", "aaaaaa");
  const points = [[1, 1], [5, 1], [5, 3], [1, 3]].map(([x, y]) => ({ x, y }));
  expect(stroke(edit, () => polygon(edit, points, X))).toEqual({ left: 1, top: 1, right: 6, bottom: 4 });
  expect(rowsOf(edit)).toEqual(["aaaaaa", "axxxxa", "axxxxa", "aaaaaa"]);
  expect(stroke(edit, () => polygon(edit, points.slice(0, 2), X))).toBe(null);
});

test("a region is filled to its edges, round corners and no further", () => {
  const edit = edited("aabaa", "abbba", "aabab", "bbbbb", "aaaaa");
  stroke(edit, () => fillRegion(edit, { x: 0.5, y: 0.5 }, X));
  expect(rowsOf(edit)).toEqual(["xxbaa", "xbbba", "xxbab", "bbbbb", "aaaaa"]);
  stroke(edit, () => fillRegion(edit, { x: 2.5, y: 1.5 }, X));
  expect(rowsOf(edit)).toEqual(["xxxaa", "xxxxa", "xxxax", "xxxxx", "aaaaa"]);
  expect(stroke(edit, () => fillRegion(edit, { x: 9, y: 0 }, X))).toBe(null);
});

test("regions grow and shrink by pixels, and what is beside them takes their place", () => {
  const edit = edited("aaaaaaa", "aaaaaaa", "aaxxxaa", "aaxxxaa", "aaxxxbb", "aaaaaaa");
  stroke(edit, () => growRegions(edit, X, 1));
  expect(rowsOf(edit)).toEqual(["aaaaaaa", "axxxxxa", "axxxxxa", "axxxxxa", "axxxxxb", "axxxxxa"]);
  edit.undo();
  stroke(edit, () => growRegions(edit, X, -1));
  expect(rowsOf(edit)).toEqual(["aaaaaaa", "aaaaaaa", "aaaaaaa", "aaaxaaa", "aaaabbb", "aaaaaaa"]);
});

describe("what was painted", () => {
  test("is undone and done again, stroke by stroke, over the squares it is kept in", () => {
    const size = 300;
    const edit = new MaskEdit(size, size, ...[0, 0, 0].map(() => new Uint8Array(size * size)));
    const states = [edit.shown.slice()];
    for (const [from, to, value] of [[10, 290, 200], [290, 10, 80], [5, 280, null]]) {
      stroke(edit, () => brush(edit, { x: from, y: from }, { x: to, y: 300 - to }, 20, value));
      states.push(edit.shown.slice());
    }
    const same = (one, other) => Buffer.compare(one, other) === 0; // Vitest's own comparison takes minutes
    expect(same(states[3], states[2])).toBe(false);
    for (const wanted of [2, 1, 0]) {
      expect(edit.undo()).not.toBe(null);
      expect(same(edit.shown, states[wanted])).toBe(true);
    }
    expect(edit.painted.some(Boolean)).toBe(false);
    expect([edit.undo(), edit.canUndo, edit.canRedo]).toEqual([null, false, true]);
    for (const wanted of [1, 2, 3]) {
      edit.redo();
      expect(same(edit.shown, states[wanted])).toBe(true);
    }
    edit.undo();
    stroke(edit, () => brush(edit, { x: 5, y: 5 }, { x: 5, y: 5 }, 2, 7));
    expect(edit.canRedo).toBe(false);
  });

  test("is forgotten when another correction comes", () => {
    const edit = edited("aa");
    stroke(edit, () => edit.touch({ left: 0, top: 0, right: 1, bottom: 1 }) ?? edit.put(0, X));
    edit.load(new Uint8Array([7, 7]), new Uint8Array([0, 255]));
    expect([...edit.shown]).toEqual([97, 7]);
    expect(edit.canUndo).toBe(false);
  });
});

test("rectangles are joined, nothing among them", () => {
  const one = { left: 0, top: 5, right: 2, bottom: 6 };
  expect(union(one, { left: 1, top: 0, right: 9, bottom: 2 })).toEqual({ left: 0, top: 0, right: 9, bottom: 6 });
  expect(union(null, one)).toBe(one);
  expect(union(one, null)).toBe(one);
});
