/** A dataset that is open: its items as the server knows them, and what is told to the server about them. */

export class OpenDataset {
  /** `told` is the server's list; `changed(item, mask)` hears of every item that is known anew, and whether its mask is. */
  constructor(client, { id, title, tiers, items, helper = "" }, changed) {
    Object.assign(this, { id, title, tiers, items, helper });
    this.#client = client;
    this.#changed = changed;
  }

  #client;
  #changed;
  #saying = Promise.resolve();

  find(id) {
    return this.items.find((item) => item.id === id) ?? null;
  }

  thumbnail(item) {
    return this.#client.thumbnail(this.id, item);
  }

  /** What draws an item, as a `Stage` takes it. */
  picture(item, came, frame) {
    return this.#client.picture(this.id, item, came, frame);
  }

  /** {bitmap, coverage} of an item's mask, small; what is known of the item has its coverage then. */
  async maskThumbnail(item) {
    const mask = await this.#client.maskThumbnail(this.id, item);
    item.coverage = mask.coverage;
    return mask;
  }

  mask(item, frame) {
    return this.#client.mask(this.id, item, frame);
  }

  timeline(item) {
    return this.#client.timeline(this.id, item);
  }

  paint(item, area, planes, revision, frame) {
    return this.#client.paint(this.id, item.id, area, planes, revision, frame);
  }

  propose(item, pointing, frame) {
    return this.#client.propose(this.id, item.id, pointing, frame);
  }

  /** What the server knows of an item now; its mask is another one where `mask`. */
  async refresh(item, mask) {
    const fresh = await this.#client.facts(this.id, item.id).catch(() => null);
    if (fresh) this.#take(item, fresh, mask);
  }

  /** Say something of an item: `end` is marks, face or caption. What is said first arrives first. A `Refusal` where the
   * server does not take it. */
  say(item, end, content) {
    const said = this.#saying.then(() => this.#say(item, end, content));
    this.#saying = said.catch(() => undefined);
    return said;
  }

  /** The correction of this revision is kept as it is, or reverted, by `end`; the new revision. */
  async decide(item, end, revision, frame) {
    const told = await this.#client.post(this.id, item.id, end, { revision }, frame);
    await this.refresh(item, true);
    return told.revision;
  }

  async #say(item, end, content) {
    try {
      this.#take(item, await this.#client.post(this.id, item.id, end, content), false);
    } catch (error) {
      await this.refresh(item, false);
      throw error;
    }
  }

  #take(item, fresh, mask) {
    // That of a video is one of all its frames, which nobody measures again here.
    fresh.coverage = mask && !fresh.video ? null : (fresh.coverage ?? item.coverage);
    Object.assign(item, fresh);
    this.#changed(item, mask);
  }
}
