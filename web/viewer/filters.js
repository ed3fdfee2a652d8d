/** Which items of a dataset are shown, and in which order. Items are those of the server's list. Pure. */

/** Less than this of a picture's weight is little. */
const LOW_COVERAGE = 0.05;
/** A chosen face lower than this many pixels of the bucket is small. */
const SMALL_FACE_PX = 96;

/** By name, in the order of the menu. */
export const FILTERS = {
  all: () => true,
  doubtful: (item) => Boolean(item.left_out) || (item.doubt !== null && item.doubt[0] < 3) || isClose(item),
  leftOut: (item) => Boolean(item.left_out) || item.by_hand,
  noMask: (item) => item.mask === "none" && !item.revision,
  lowCoverage: (item) => item.coverage !== null && item.coverage < LOW_COVERAGE,
  smallFace: (item) => facePx(item) < SMALL_FACE_PX,
  faceless: (item) => item.faceless > 0,
  corrected: (item) => item.revision !== "",
  otherBase: (item) => item.other_base,
  noCaption: (item) => item.caption === "",
  notDone: (item) => !item.done,
  done: (item) => item.done,
  broken: (item) => item.error !== "",
};

export const ORDERS = {
  doubt: (a, b) => place(a) - place(b) || lead(a) - lead(b) || byName(a, b),
  name: byName,
  coverage: (a, b) => (a.coverage ?? 2) - (b.coverage ?? 2) || byName(a, b),
};

/** The buckets that items have, "832x1216", the most frequent first. */
export function bucketsOf(items) {
  const counts = new Map();
  for (const { bucket } of items) {
    if (bucket) counts.set(bucket.join("x"), (counts.get(bucket.join("x")) ?? 0) + 1);
  }
  return [...counts].sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0])).map(([name]) => name);
}

/** The items to show: `filter` and `order` by name, `bucket` and `text` (in name or caption) where they are not "". */
export function choose(items, { filter = "all", order = "doubt", bucket = "", text = "" }) {
  const sought = text.trim().toLowerCase();
  return items
    .filter(FILTERS[filter])
    .filter((item) => bucket === "" || item.bucket?.join("x") === bucket)
    .filter((item) => sought === "" || `${item.name}\n${item.caption}`.toLowerCase().includes(sought))
    .sort(ORDERS[order]);
}

/** How many items each filter shows. */
export function counts(items) {
  return Object.fromEntries(Object.entries(FILTERS).map(([name, shows]) => [name, items.filter(shows).length]));
}

/** The height in pixels of the face that was kept, as it is trained; none is Infinity. */
export function facePx({ faces, bucket, width, height }) {
  const chosen = faces.find((face) => face.chosen);
  if (!chosen || !bucket) return Infinity;
  const scale = Math.max(bucket[0] / width, bucket[1] / height);
  return (chosen.box[3] - chosen.box[1]) * height * scale;
}

/** A match that is hardly ahead of what is needed, or of the next face. */
function isClose({ doubt }) {
  return doubt !== null && doubt[0] === 3 && doubt[1] < 0.05;
}

function place(item) {
  if (item.error) return -2;
  return item.left_out ? -1 : (item.doubt?.[0] ?? 4);
}

function lead({ doubt }) {
  return doubt?.[1] ?? 0;
}

function byName(a, b) {
  return a.name.localeCompare(b.name, undefined, { numeric: true });
}
