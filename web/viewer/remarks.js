/** What is said of the open item besides its mask, and kept: done, left out, whose face is the person's, the caption. */

export class Remarks {
  /** `open()` gives {data, item}: the `OpenDataset` and the item of it that is open, or null. */
  constructor(words, frame, open) {
    this.#words = words;
    this.#frame = frame;
    this.#open = open;
  }

  #words;
  #frame;
  #open;

  /** `change(item)` gives {done} or {left_out}. */
  async mark(change) {
    const { item } = this.#open();
    if (!item) return;
    const marks = change(item);
    if ((await this.#say("marks", marks)) && "left_out" in marks) this.#frame.note(this.#words.rerun);
  }

  /** The face of this number is the person's; null: the person is looked for. */
  async choosePerson(index) {
    // A key that is pressed again goes on from here, however long the server takes.
    this.#open().item.face_by_hand = index;
    if (await this.#say("face", { index })) this.#frame.note(this.#words.rerun);
  }

  async writeCaption(text) {
    const { item } = this.#open();
    if (item && text !== item.caption) await this.#say("caption", { text, was: item.caption });
  }

  /** Whether the server took it. */
  async #say(end, content) {
    const { data, item } = this.#open();
    try {
      await data.say(item, end, content);
      this.#frame.status("saved");
      return true;
    } catch (error) {
      this.#frame.note(error.message);
      return false;
    }
  }
}
