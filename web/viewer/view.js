/** Where a picture lies on the screen: screen = picture · scale + (x, y), in CSS pixels. Pure. */

const MOST_SCALE = 32;
const TILE_PX = 512;

/** All of a picture in a window, centred, never enlarged beyond its pixels. */
export function fit(picture, window) {
  const scale = Math.min(window.width / picture.width, window.height / picture.height, 1) || 1;
  return centred(picture, window, scale);
}

export function centred(picture, window, scale) {
  return { scale, x: (window.width - picture.width * scale) / 2, y: (window.height - picture.height * scale) / 2 };
}

/** Zoomed by a factor around a point of the screen, which stays where it is. */
export function zoomed(view, picture, window, point, factor) {
  const least = Math.min(window.width / picture.width, window.height / picture.height, 1) / 2;
  const scale = Math.min(MOST_SCALE, Math.max(least, view.scale * factor));
  const by = scale / view.scale;
  return kept({ scale, x: point.x - (point.x - view.x) * by, y: point.y - (point.y - view.y) * by }, picture, window);
}

/** Moved, but never so far that nothing of the picture is seen. */
export function kept(view, picture, window) {
  const within = (start, size, room) => Math.min(room - 40, Math.max(40 - size, start));
  return {
    scale: view.scale,
    x: within(view.x, picture.width * view.scale, window.width),
    y: within(view.y, picture.height * view.scale, window.height),
  };
}

export function toPicture(view, point) {
  return { x: (point.x - view.x) / view.scale, y: (point.y - view.y) / view.scale };
}

/** The tiles that are seen: {level, column, row, left, top, size: picture pixels of a whole tile's side}. `dense` is how
 * many pixels the screen has in a CSS pixel. */
export function tilesOf(view, picture, window, dense = 1) {
  const level = Math.max(0, Math.min(7, Math.floor(Math.log2(1 / (view.scale * dense)) + 1e-9)));
  const size = TILE_PX * 2 ** level;
  const start = toPicture(view, { x: 0, y: 0 });
  const end = toPicture(view, { x: window.width, y: window.height });
  const tiles = [];
  const first = (from) => Math.max(0, Math.floor(from / size));
  for (let row = first(start.y); row * size < Math.min(end.y, picture.height); row++) {
    for (let column = first(start.x); column * size < Math.min(end.x, picture.width); column++) {
      tiles.push({ level, column, row, left: column * size, top: row * size, size });
    }
  }
  return tiles;
}

/** What of a picture is trained on at a bucket's size, [width, height], and how large a latent cell is there: in pixels
 * of the picture. It is scaled to cover the bucket and cut in the middle. */
export function trainedArea(picture, [width, height], stride) {
  const scale = Math.max(width / picture.width, height / picture.height);
  const seen = { width: width / scale, height: height / scale };
  return {
    left: (picture.width - seen.width) / 2,
    top: (picture.height - seen.height) / 2,
    ...seen,
    cell: stride / scale,
    columns: Math.floor(width / stride),
    rows: Math.floor(height / stride),
  };
}
