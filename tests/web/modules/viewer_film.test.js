import { describe, expect, test } from "vitest";

import { MaskEdit } from "../../../web/viewer/edit.js";
import { frameState, marksOf, paintedFrom } from "../../../web/viewer/film.js";
import { commandOf } from "../../../web/viewer/keys.js";
import { eraseAll } from "../../../web/viewer/tools.js";
import { wordsOf } from "../../../web/viewer/words.js";

const LINE = { painted: [3, 8], carried: [[3, 4, 6], [8, 9, 11]] };

describe("the frames of a video", () => {
  test("are painted, carried or plain", () => {
    const kinds = [2, 3, 4, 6, 7, 8, 11].map((frame) => frameState(LINE, frame));
    expect(kinds.map(({ kind }) => kind)).toEqual(["plain", "painted", "carried", "carried", "plain", "painted", "carried"]);
    expect(kinds.map(({ source }) => source)).toEqual([null, 3, 3, 3, null, 8, 8]);
  });

  test("are gone through from one that is painted to the next", () => {
    expect([0, 3, 5, 8].map((frame) => paintedFrom(LINE, frame, 1))).toEqual([3, 8, 8, null]);
    expect([3, 5, 8, 11].map((frame) => paintedFrom(LINE, frame, -1))).toEqual([null, 3, 3, 8]);
  });

  test("have their marks where the slider stands on them", () => {
    const marks = marksOf(LINE, 11);
    expect(marks.map(({ kind }) => kind)).toEqual(["carried", "carried", "painted", "painted"]);
    expect(marks[0].left).toBeCloseTo(0.35);
    expect(marks[0].left + marks[0].width).toBeCloseTo(0.65);
    expect(marks[2].left + marks[2].width / 2).toBeCloseTo(0.3);
    expect(marksOf({ painted: [0], carried: [] }, 1)).toEqual([{ kind: "painted", left: 0, width: 0.5 }]);
    expect(marks[1].left + marks[1].width).toBe(1);
  });

  test("have keys and words of their own", () => {
    const key = (name, shiftKey = false) => commandOf({ key: name, shiftKey });
    expect([key("j"), key("k"), key("J", true), key("K", true), key("s")]).toEqual([
      "frameBack", "frameOn", "paintedBack", "paintedOn", "carryNothing",
    ]);
    expect([key("Enter"), key("Enter", true), key("B", true)]).toEqual(["finish", "finishLeast", "brush"]);
    for (const locale of ["en", "zh"]) {
      const words = wordsOf(locale);
      expect(words.frameIs.carried(12)).toContain("12");
      for (const kind of ["painted", "carried", "plain"]) expect(words.frameIs[kind](1)).toBeTruthy();
    }
  });
});

test("all paint is taken away at once, and comes back", () => {
  const base = new Uint8Array(20).fill(128);
  const painted = new Uint8Array(20);
  const values = new Uint8Array(20);
  for (const at of [6, 8, 12]) [painted[at], values[at]] = [255, 80];
  const edit = new MaskEdit(5, 4, base, values, painted);
  edit.begin();
  expect(eraseAll(edit)).toEqual({ left: 1, top: 1, right: 4, bottom: 3 });
  edit.end();
  expect([...edit.shown]).toEqual(Array(20).fill(128));
  edit.undo();
  expect([6, 8, 12].map((at) => edit.shown[at])).toEqual([80, 80, 80]);
  edit.redo();
  edit.begin();
  expect(eraseAll(edit)).toBeNull();
});
