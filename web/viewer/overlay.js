/** The colours of weights over a picture. Pure: pixels are little-endian RGBA in 32 bits. */

/** By tier, readable on light and dark pictures, and apart for people who do not tell red from green. */
export const TIER_COLOURS = { face: [230, 60, 90], hair: [250, 190, 40], body: [60, 130, 246], background: [0, 0, 0] };
const BETWEEN = [160, 90, 240];

/** [red, green, blue] of a weight 0–255: its tier's, and for weights between tiers the same violet, the lighter the
 * higher. */
export function colourOf(weight, tiers) {
  const tier = Object.keys(TIER_COLOURS).find((name) => tiers[name] === weight);
  return tier ? TIER_COLOURS[tier] : BETWEEN.map((part) => Math.round(part * (0.4 + (0.6 * weight) / 255)));
}

/** 256 colours with an opacity of 0 to 1. */
export function lookUp(tiers, opacity) {
  const table = new Uint32Array(256);
  const alpha = Math.round(255 * opacity) << 24;
  for (let weight = 0; weight < 256; weight++) {
    const [red, green, blue] = colourOf(weight, tiers);
    table[weight] = (alpha | (blue << 16) | (green << 8) | red) >>> 0;
  }
  return table;
}

/** Draw what a view shows of `weights` (of a picture's size) inside `area`, a rectangle of the screen in pixels. */
export function drawWeights(pixels, screenWidth, view, picture, weights, table, area) {
  const columns = new Int32Array(area.right - area.left);
  for (let x = area.left; x < area.right; x++) columns[x - area.left] = Math.floor((x + 0.5 - view.x) / view.scale);
  for (let y = area.top; y < area.bottom; y++) {
    const row = Math.floor((y + 0.5 - view.y) / view.scale);
    const to = y * screenWidth + area.left;
    if (row < 0 || row >= picture.height) {
      pixels.fill(0, to, to + columns.length);
      continue;
    }
    const from = row * picture.width;
    for (let at = 0; at < columns.length; at++) {
      const column = columns[at];
      pixels[to + at] = column < 0 || column >= picture.width ? 0 : table[weights[from + column]];
    }
  }
}

/** The mean weight of each latent cell, row after row, as training reads it; `area` as `trainedArea` gives it. */
export function cellMeans(picture, weights, area) {
  const means = new Float32Array(area.columns * area.rows);
  for (let row = 0; row < area.rows; row++) {
    const top = Math.max(0, Math.round(area.top + row * area.cell));
    const bottom = Math.min(picture.height, Math.max(top + 1, Math.round(area.top + (row + 1) * area.cell)));
    for (let column = 0; column < area.columns; column++) {
      const left = Math.max(0, Math.round(area.left + column * area.cell));
      const right = Math.min(picture.width, Math.max(left + 1, Math.round(area.left + (column + 1) * area.cell)));
      let sum = 0;
      for (let y = top; y < bottom; y++) {
        for (let x = left; x < right; x++) sum += weights[y * picture.width + x];
      }
      means[row * area.columns + column] = sum / Math.max(1, (right - left) * (bottom - top));
    }
  }
  return means;
}
