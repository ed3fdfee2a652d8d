/** What paints on a `MaskEdit`, between its `begin` and `end`. `value` is a weight, or null to take paint away. Each
 * gives back the rectangle that changed, or null. Points are {x, y} in pixels of the picture. */

/** A round brush drawn from one point to another: every pixel whose centre is within the radius. */
export function brush(edit, from, to, radius, value) {
  const area = edit.inside({
    left: Math.min(from.x, to.x) - radius,
    top: Math.min(from.y, to.y) - radius,
    right: Math.max(from.x, to.x) + radius + 1,
    bottom: Math.max(from.y, to.y) + radius + 1,
  });
  if (!area) return null;
  edit.touch(area);
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const length = dx * dx + dy * dy;
  // A brush thinner than a pixel still paints the one it is in.
  const reach = Math.max(radius, Math.SQRT1_2) ** 2;
  for (let y = area.top; y < area.bottom; y++) {
    const py = y + 0.5 - from.y;
    for (let x = area.left; x < area.right; x++) {
      const px = x + 0.5 - from.x;
      const along = length ? Math.min(1, Math.max(0, (px * dx + py * dy) / length)) : 0;
      const [ox, oy] = [px - along * dx, py - along * dy];
      if (ox * ox + oy * oy <= reach) edit.put(y * edit.width + x, value);
    }
  }
  return area;
}

/** Every pixel whose centre lies inside the polygon, by the even-odd rule. */
export function polygon(edit, points, value) {
  if (points.length < 3) return null;
  const [xs, ys] = [points.map(({ x }) => x), points.map(({ y }) => y)];
  const area = edit.inside({
    left: Math.min(...xs),
    top: Math.min(...ys),
    right: Math.max(...xs) + 1,
    bottom: Math.max(...ys) + 1,
  });
  if (!area) return null;
  edit.touch(area);
  for (let y = area.top; y < area.bottom; y++) {
    const crossings = [];
    points.forEach((one, index) => {
      const other = points[(index + 1) % points.length];
      if (one.y <= y + 0.5 !== other.y <= y + 0.5) {
        crossings.push(one.x + ((y + 0.5 - one.y) / (other.y - one.y)) * (other.x - one.x));
      }
    });
    crossings.sort((a, b) => a - b);
    for (let pair = 0; pair + 1 < crossings.length; pair += 2) {
      const first = Math.max(area.left, Math.ceil(crossings[pair] - 0.5));
      const last = Math.min(area.right, Math.ceil(crossings[pair + 1] - 0.5));
      for (let x = first; x < last; x++) edit.put(y * edit.width + x, value);
    }
  }
  return area;
}

/** What is inside a region {left, top, width, height, inside: not 0 for each of its pixels}; with `where` only pixels that
 * show that weight now. */
export function regionWithin(edit, { left, top, width, height, inside }, value, where = null) {
  const area = edit.inside({ left, top, right: left + width, bottom: top + height });
  if (!area) return null;
  edit.touch(area);
  for (let y = area.top; y < area.bottom; y++) {
    for (let x = area.left; x < area.right; x++) {
      const at = y * edit.width + x;
      if (inside[(y - top) * width + x - left] && (where === null || edit.shown[at] === where)) edit.put(at, value);
    }
  }
  return area;
}

/** The region of one weight around a point, neighbours by their sides. */
export function fillRegion(edit, point, value) {
  const { width, height, shown } = edit;
  const [startX, startY] = [Math.floor(point.x), Math.floor(point.y)];
  if (startX < 0 || startY < 0 || startX >= width || startY >= height) return null;
  const wanted = shown[startY * width + startX];
  const seen = new Uint8Array(width * height);
  const spans = [];
  const waiting = [[startX, startY]];
  while (waiting.length > 0) {
    const [x, y] = waiting.pop();
    const row = y * width;
    if (seen[row + x]) continue;
    let [left, right] = [x, x + 1];
    while (left > 0 && shown[row + left - 1] === wanted && !seen[row + left - 1]) left--;
    while (right < width && shown[row + right] === wanted && !seen[row + right]) right++;
    seen.fill(1, row + left, row + right);
    spans.push([y, left, right]);
    for (const next of [y - 1, y + 1]) {
      if (next < 0 || next >= height) continue;
      for (let at = left; at < right; at++) {
        const place = next * width + at;
        if (shown[place] !== wanted || seen[place]) continue;
        waiting.push([at, next]);
        while (at < right && shown[next * width + at] === wanted) at++;
      }
    }
  }
  let area = null;
  for (const [y, left, right] of spans) {
    edit.touch({ left, top: y, right, bottom: y + 1 });
    for (let x = left; x < right; x++) edit.put(y * width + x, value);
    area = grown(area, left, y, right, y + 1);
  }
  return area;
}

/** Regions of a weight grow by so many pixels; negative: they shrink, and what is beside them takes their place. */
export function growRegions(edit, weight, pixels) {
  const { width, height, shown } = edit;
  const reach = Math.abs(pixels);
  const spreads = (value) => (pixels > 0 ? value === weight : value !== weight);
  const across = new Uint8Array(shown);
  for (let y = 0; y < height; y++) spread(shown, across, y * width, 1, width, reach, spreads);
  const both = new Uint8Array(across);
  for (let x = 0; x < width; x++) spread(across, both, x, width, height, reach, spreads);
  let area = null;
  for (let y = 0; y < height; y++) {
    let [left, right] = [-1, -1];
    for (let x = 0; x < width; x++) {
      if (both[y * width + x] === shown[y * width + x]) continue;
      if (left < 0) left = x;
      right = x + 1;
    }
    if (left < 0) continue;
    edit.touch({ left, top: y, right, bottom: y + 1 });
    for (let x = left; x < right; x++) {
      const at = y * width + x;
      if (both[at] !== shown[at]) edit.put(at, both[at]);
    }
    area = grown(area, left, y, right, y + 1);
  }
  return area;
}

/** Along one line of `count` pixels, those that do not spread take the value of the nearest one that does. */
function spread(from, to, start, step, count, reach, spreads) {
  const nearest = new Int32Array(count).fill(-1);
  let last = -1;
  for (let at = 0; at < count; at++) {
    if (spreads(from[start + at * step])) last = at;
    nearest[at] = last;
  }
  last = -1;
  for (let at = count - 1; at >= 0; at--) {
    if (nearest[at] === at) {
      last = at;
      continue;
    }
    const before = nearest[at] >= 0 ? at - nearest[at] : Infinity;
    const after = last >= 0 ? last - at : Infinity;
    if (Math.min(before, after) > reach) continue;
    to[start + at * step] = from[start + (before <= after ? nearest[at] : last) * step];
  }
}

function grown(area, left, top, right, bottom) {
  if (!area) return { left, top, right, bottom };
  area.left = Math.min(area.left, left);
  area.top = Math.min(area.top, top);
  area.right = Math.max(area.right, right);
  area.bottom = Math.max(area.bottom, bottom);
  return area;
}

/** Take all paint away; the rectangle that changed, or null. */
export function eraseAll(edit) {
  const { width, height, painted } = edit;
  let [left, top, right, bottom] = [width, height, 0, 0];
  for (let at = painted.indexOf(255); at >= 0; at = painted.indexOf(255, at + 1)) {
    const x = at % width;
    const y = (at - x) / width;
    [left, top, right, bottom] = [Math.min(left, x), Math.min(top, y), Math.max(right, x + 1), y + 1];
  }
  if (right === 0) return null;
  const area = { left, top, right, bottom };
  edit.touch(area);
  for (let y = top; y < bottom; y++) for (let x = left; x < right; x++) edit.put(y * width + x, null);
  return area;
}
