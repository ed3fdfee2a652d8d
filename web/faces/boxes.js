/**
 * The faces of pictures as a node's result has them: one {faces, reason} per picture, a face being
 * {index, box: [x0, y0, x1, y1] as fractions of the picture, similarity, chosen}.
 */

/** Rectangles in pixels of a picture of `width` x `height`, the smaller ones later, so that they lie on top. */
export function rectangles(faces, width, height) {
  return faces
    .map(({ index, similarity, box: [x0, y0, x1, y1] }) => ({
      index,
      similarity,
      x: x0 * width,
      y: y0 * height,
      width: (x1 - x0) * width,
      height: (y1 - y0) * height,
    }))
    .sort((a, b) => b.width * b.height - a.width * a.height);
}

/** The `face_index` after a click on `clicked`: the chosen one, clicked again, is given up. */
export function afterClick(current, clicked) {
  return current === clicked ? -1 : clicked;
}

/** Pictures with their faces; null where a result has none, as from a version that did not tell them. */
export function picturesOf(output) {
  const { images, faces } = output ?? {};
  if (!images?.length || faces?.length !== images.length) return null;
  return images.map((image, index) => ({ image, faces: faces[index].faces, reason: faces[index].reason }));
}
