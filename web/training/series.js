/**
 * The history of training runs, as the server tells it: kept per node and run, and made longer by every message.
 *
 * A run is {node, prompt, run, steps, state, columns, metrics, points, eta, sample, told}; a point is an array of the
 * values that `columns` names, the step first, null where a step has no such value. Points are ordered by step. `told`
 * counts up with everything said of a run.
 */

/** More points than this of one run are not kept here: the server has them thinned. */
const MOST_POINTS = 6000;

/** Where a point has its step. */
export const STEP = 0;

/** `points` with `news` behind them; a step that both have is the later message's, where it has a value. */
export function withPoints(points, news) {
  if (news.length === 0) return points;
  const first = news[0][STEP];
  const kept = points.filter((point) => point[STEP] < first);
  const known = new Map(points.slice(kept.length).map((point) => [point[STEP], point]));
  for (const point of news) {
    const before = known.get(point[STEP]);
    known.set(point[STEP], before ? point.map((value, index) => value ?? before[index]) : point);
  }
  return [...kept, ...[...known.values()].sort((a, b) => a[STEP] - b[STEP])];
}

/** The last value of a field that is not null, or null. */
export function latest(points, field) {
  for (let index = points.length - 1; index >= 0; index -= 1) {
    const value = points[index][field];
    if (value !== null && value !== undefined) return value;
  }
  return null;
}

/** The steps that are done. */
export function stepsDone(run) {
  return latest(run.points, STEP) ?? 0;
}

/** Every run that the server has told of, the one that was heard of last coming last. */
export class Runs {
  #runs = new Map();

  /**
   * Take in a message of the websocket, which has only the new points.
   * Returns false when the server has to be asked for the whole history: what the message continues is not known here,
   * or there is more of it than is kept.
   */
  add(message) {
    const key = keyOf(message);
    const before = this.#runs.get(key);
    const known = before !== undefined && before.prompt === message.prompt;
    this.#runs.delete(key);
    const points = known ? withPoints(before.points, message.points) : message.points;
    this.#runs.set(key, { ...message, points });
    return known && points.length <= MOST_POINTS;
  }

  /** Take in the server's whole list. What a message has said in the meantime is newer and stays. */
  replace(list) {
    const before = this.#runs;
    this.#runs = new Map(before);
    for (const run of list) {
      const known = before.get(keyOf(run));
      const overtaken = known?.prompt === run.prompt && known.told > run.told;
      const newer = overtaken ? known.points.filter((point) => beyond(run, point)) : [];
      const later = overtaken ? { ...known, points: [...run.points, ...newer] } : run;
      this.#runs.delete(keyOf(run));
      this.#runs.set(keyOf(run), later);
    }
  }

  /** The run heard of last for which `fits(run)` holds, or null. */
  find(fits) {
    return [...this.#runs.values()].reverse().find(fits) ?? null;
  }
}

function beyond(run, point) {
  return point[STEP] > stepsDone(run);
}

function keyOf({ node, run }) {
  return `${node} ${run}`;
}
