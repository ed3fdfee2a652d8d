/** The faces of a photograph, of which one is the person's: pointed at, or gone through by a key. */

/** Which of `faces`, with boxes in fractions of a picture {width, height}, lies under a point of it: the smallest, or
 * -1. Pure. */
export function faceUnder(faces, { width, height }, point) {
  const [x, y] = [point.x / width, point.y / height];
  let [found, least] = [-1, Infinity];
  for (const { index, box } of faces) {
    const [left, top, right, bottom] = box;
    const area = (right - left) * (bottom - top);
    if (x < left || x >= right || y < top || y >= bottom || area >= least) continue;
    [found, least] = [index, area];
  }
  return found;
}

/** Which face is chosen after the one that is now (null: none was by hand); null again behind the last. Pure. */
export function faceAfter(faces, index) {
  const next = (index ?? -1) + 1;
  return next < faces.length ? next : null;
}

export class Chooser {
  /** `item()` is the open one or null; `choose(index)` hears whose face is the person's, null that it is looked for. */
  constructor(stage, item, choose) {
    this.#stage = stage;
    this.#item = item;
    this.#choose = choose;
  }

  #stage;
  #item;
  #choose;

  start(point) {
    const item = this.#item();
    const index = item ? faceUnder(item.faces, item, point) : -1;
    if (index >= 0) this.#choose(index === item.face_by_hand ? null : index);
  }

  hover(point) {
    const item = this.#item();
    this.#stage.pointed = item && point ? faceUnder(item.faces, item, point) : -1;
  }

  next() {
    const item = this.#item();
    if (item?.faces.length > 0) this.#choose(faceAfter(item.faces, item.face_by_hand));
  }
}
