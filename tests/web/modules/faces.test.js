import { describe, expect, test } from "vitest";

import { afterClick, picturesOf, rectangles } from "../../../web/faces/boxes.js";

const face = (index, box) => ({ index, box, similarity: 0.5, chosen: false });

test("boxes are in the picture's pixels, a face in front of another last", () => {
  const behind = face(0, [0, 0, 0.5, 1]);
  const front = face(1, [0.25, 0.25, 0.5, 0.5]);
  expect(rectangles([front, behind], 200, 100)).toEqual([
    { index: 0, similarity: 0.5, x: 0, y: 0, width: 100, height: 100 },
    { index: 1, similarity: 0.5, x: 50, y: 25, width: 50, height: 25 },
  ]);
});

test("a click chooses, a second click on the same face gives it up", () => {
  expect(afterClick(-1, 2)).toBe(2);
  expect(afterClick(2, 0)).toBe(0);
  expect(afterClick(0, 0)).toBe(-1);
});

describe("picturesOf", () => {
  const images = [{ filename: "a.png" }, { filename: "b.png" }];
  const faces = [{ faces: [face(0, [0, 0, 1, 1])], reason: "one" }, { faces: [], reason: "none" }];

  test("each picture has its own faces", () => {
    expect(picturesOf({ images, faces })).toEqual([
      { image: images[0], faces: faces[0].faces, reason: "one" },
      { image: images[1], faces: [], reason: "none" },
    ]);
  });

  test("a result without faces, or with another number of them, has no pictures", () => {
    expect(picturesOf(undefined)).toBeNull();
    expect(picturesOf({ images })).toBeNull();
    expect(picturesOf({ images, faces: [faces[0]] })).toBeNull();
    expect(picturesOf({ images: [], faces: [] })).toBeNull();
  });
});
