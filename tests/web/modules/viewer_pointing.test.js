import { describe, expect, test } from "vitest";

import { MaskEdit } from "../../../web/viewer/edit.js";
import { clipped, pointingOf } from "../../../web/viewer/help.js";
import { commandOf } from "../../../web/viewer/keys.js";
import { listen } from "../../../web/viewer/pointers.js";
import { regionWithin } from "../../../web/viewer/tools.js";
import { faceAfter, faceUnder } from "../../../web/viewer/who.js";

const FACES = [
  { index: 0, box: [0.1, 0.1, 0.5, 0.5] },
  { index: 1, box: [0.3, 0.3, 0.4, 0.4] },
];
const PICTURE = { width: 1000, height: 500 };

describe("choosing a face", () => {
  test("the smallest one under the point, or none", () => {
    expect(faceUnder(FACES, PICTURE, { x: 150, y: 100 })).toBe(0);
    expect(faceUnder(FACES, PICTURE, { x: 350, y: 175 })).toBe(1);
    expect(faceUnder(FACES, PICTURE, { x: 900, y: 100 })).toBe(-1);
    expect(faceUnder([], PICTURE, { x: 150, y: 100 })).toBe(-1);
  });

  test("a key goes through them and back to none", () => {
    expect([null, 0, 1].map((index) => faceAfter(FACES, index))).toEqual([0, 1, null]);
    expect(faceAfter(FACES, -1)).toBe(0);
  });
});

describe("pointing at something", () => {
  const click = { x: 40, y: 30 };

  test("a click is a point, a drag a box, whichever way it goes", () => {
    expect(pointingOf(click, { x: 41, y: 31 }, 1, null)).toEqual({ on: [[40, 30]], off: [], box: null });
    expect(pointingOf({ x: 90, y: 10 }, click, 1, null)).toEqual({ on: [], off: [], box: [40, 10, 90, 30] });
    // So little is a click on a picture that is shown large, and a drag on one that is shown small.
    expect(pointingOf(click, { x: 44, y: 30 }, 0.5, null).box).toBeNull();
    expect(pointingOf(click, { x: 44, y: 30 }, 2, null).box).not.toBeNull();
  });

  test("further clicks add to what is proposed and take from it", () => {
    const before = { on: [[1, 1]], off: [], box: null };
    expect(pointingOf(click, click, 1, before, { shiftKey: true })).toEqual({ on: [[1, 1], [40, 30]], off: [], box: null });
    expect(pointingOf(click, click, 1, before, { altKey: true })).toEqual({ on: [[1, 1]], off: [[40, 30]], box: null });
    expect(pointingOf(click, click, 1, null, { altKey: true }).on).toEqual([[40, 30]]);
    expect(before.on).toHaveLength(1);
  });

  test("what lies outside the picture is drawn to its edge", () => {
    const outside = { on: [[-5, 600]], off: [], box: [-1, -1, 1001, 501] };
    expect(clipped(outside, PICTURE)).toEqual({ on: [[0, 500]], off: [], box: [0, 0, 1000, 500] });
    expect(clipped({ on: [], off: [], box: null }, PICTURE).box).toBeNull();
  });

  test("what is proposed is painted, all of it or where there is background", () => {
    const region = { left: 1, top: 0, width: 2, height: 2, inside: new Uint8Array([255, 0, 255, 255]) };
    const painted = (where) => {
      const edit = new MaskEdit(3, 2, new Uint8Array([0, 0, 0, 0, 80, 0]), new Uint8Array(6), new Uint8Array(6));
      edit.begin();
      regionWithin(edit, region, 128, where);
      expect(edit.end()).toEqual({ left: 1, top: 0, right: 3, bottom: 2 });
      return [...edit.shown];
    };
    expect(painted(null)).toEqual([0, 128, 0, 0, 128, 128]);
    expect(painted(0)).toEqual([0, 128, 0, 0, 80, 128]);
  });

  test("keys accept and choose", () => {
    expect(commandOf({ key: "Enter" })).toBe("finish");
    expect(commandOf({ key: "Enter", shiftKey: true })).toBe("finishLeast");
    expect(["w", "n", "h"].map((key) => commandOf({ key }))).toEqual(["who", "nextFace", "help"]);
  });
});

describe("fingers and pens", () => {
  function heard(...events) {
    const listeners = {};
    const canvas = {
      style: {},
      addEventListener: (kind, hears) => (listeners[kind] = hears),
      focus: () => undefined,
      setPointerCapture: () => undefined,
    };
    const said = [];
    listen(canvas, {
      hears: Object.fromEntries(["start", "move", "end"].map((name) => [name, (point) => said.push(`${name} ${point?.x ?? "-"}`)]).concat([["hover", () => undefined]])),
      moves: { zoom: () => said.push("zoom"), drag: (before, after, other) => said.push(`drag ${before.x} ${after.x} ${other?.x ?? "-"}`) },
      isOpen: () => true,
      pans: () => false,
    });
    for (const [kind, pointerId, x, pointerType = "touch", button = 0] of events) {
      listeners[kind]({ pointerId, offsetX: x, offsetY: 0, pointerType, button, preventDefault: () => undefined });
    }
    return said;
  }

  test("one finger paints, a second one gives that up and both move", () => {
    const said = heard(["pointerdown", 1, 5], ["pointermove", 1, 6], ["pointerdown", 2, 9], ["pointermove", 2, 12], ["pointerup", 2, 12], ["pointermove", 1, 8], ["pointerup", 1, 8]);
    expect(said).toEqual(["start 5", "move 6", "end -", "drag 9 12 6", "drag 6 8 -"]);
  });

  test("the palm beside a pen does nothing, and another pointer's moves do not paint", () => {
    const said = heard(["pointerdown", 1, 5, "pen"], ["pointerdown", 2, 90], ["pointermove", 2, 95], ["pointermove", 1, 7, "pen"], ["pointerup", 2, 95], ["pointerup", 1, 7, "pen"], ["pointerdown", 3, 1]);
    expect(said).toEqual(["start 5", "move 7", "end 7", "start 1"]);
  });

  test("the right button moves the picture", () => {
    expect(heard(["pointerdown", 1, 5, "mouse", 2], ["pointermove", 1, 9, "mouse", 2])).toEqual(["drag 5 9 -"]);
  });
});
