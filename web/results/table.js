/** The rows of a node's table, and how much of a text fits: no element here. */

/** More rows than that are read in the report, not on a node. */
export const MOST_ROWS = 200;
const LETTERS_IN_A_LINE = 52;

/**
 * Of `table`, as Keep Person sends it, what its rows say: {name, state, good, score, share, reason}, in its order, and how
 * many rows are left away.
 */
export function rowsOf(table, words) {
  const rows = (table ?? []).slice(0, MOST_ROWS).map(({ name, state, similarity, faces, area, reason }) => ({
    name,
    state: words[state] ?? state,
    good: state !== "left out",
    score: similarity !== null ? similarity.toFixed(2) : faces === 0 ? words.byHand : "–",
    share: `${(100 * area).toFixed(area < 0.1 ? 1 : 0)} %`,
    reason,
  }));
  return { rows, more: Math.max(0, (table?.length ?? 0) - rows.length) };
}

/** How many lines texts take on a node. */
export function linesOf(texts) {
  return texts.reduce((sum, text) => sum + Math.max(1, Math.ceil(text.length / LETTERS_IN_A_LINE)), 0);
}
