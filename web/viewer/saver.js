/** Keeps every stroke: one request at a time, with all that was painted meanwhile in the next one. */

import { union } from "./edit.js";

const SECONDS = 1000;
const AGAIN_S = [1, 2, 5, 10];

/** States: "saved", "saving", and "waiting" where the server does not answer; it is asked again. */
export class Saver {
  /**
   * `send(area, planes, revision)` gives the new revision; `stale(revision)` is called when somebody else has changed
   * the correction, gives {values, painted, revision} as they are now, and the strokes that are not kept yet are
   * painted over them. `told(state, error)` hears each change. `wait(ms)` is a promise.
   */
  constructor({ edit, revision, send, stale, told, wait = (ms) => new Promise((done) => setTimeout(done, ms)) }) {
    Object.assign(this, { edit, revision });
    this.#does = { send, stale, told, wait };
  }

  #does;
  #dirty = null;
  #running = null;
  #closed = false;

  get isSaved() {
    return this.#dirty === null && this.#running === null;
  }

  /** A rectangle of the edit has changed. The promise is there when all is kept. */
  save(area) {
    if (this.#closed) return Promise.resolve();
    if (area) this.#dirty = union(this.#dirty, area);
    if (this.isSaved) return Promise.resolve();
    this.#running ??= this.#run();
    return this.#running;
  }

  /** Nothing more is sent after what is under way. */
  async close() {
    await this.save(null);
    this.#closed = true;
  }

  async #run() {
    // What is told or sent may save again: by then this run is known.
    await null;
    const told = await this.#sent().finally(() => {
      this.#running = null;
    });
    this.#does.told(...told);
  }

  /** Send until nothing is left; the state in which that ended. */
  async #sent() {
    let failures = 0;
    while (this.#dirty && !this.#closed) {
      const area = this.#dirty;
      this.#dirty = null;
      this.#does.told("saving");
      try {
        this.revision = await this.#does.send(area, this.edit.pack(area), this.revision);
        failures = 0;
      } catch (error) {
        this.#dirty = union(this.#dirty, area);
        const failed = error.isStale ? await this.#rebase().catch((other) => other) : error;
        if (failed?.status && failed.status < 500) {
          this.#dirty = null;
          return ["refused", failed];
        }
        if (failed) {
          this.#does.told("waiting", failed);
          await this.#does.wait(AGAIN_S[Math.min(failures++, AGAIN_S.length - 1)] * SECONDS);
        }
      }
    }
    return ["saved"];
  }

  /** Take what somebody else painted, and paint over it what is not kept yet. */
  async #rebase() {
    const theirs = await this.#does.stale();
    // What was painted while that was asked for is among it, and the stroke that is not ended yet.
    const open = this.edit.isOpen;
    const area = union(this.#dirty, this.edit.openArea);
    const mine = this.edit.pack(area);
    this.#dirty = area;
    this.edit.load(theirs.values, theirs.painted);
    this.revision = theirs.revision;
    const width = area.right - area.left;
    const size = mine.length / 2;
    this.edit.begin();
    this.edit.touch(area);
    for (let at = 0; at < size; at++) {
      const place = (area.top + Math.floor(at / width)) * this.edit.width + area.left + (at % width);
      if (mine[size + at]) this.edit.put(place, mine[at]);
    }
    this.edit.end();
    if (open) this.edit.begin();
  }
}
