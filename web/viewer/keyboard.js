/** Key presses in the viewer's window, as commands. */

import { commandOf } from "./keys.js";

const IN_TEXT = "textarea, input[type=search], input[type=number]";

export class Keyboard {
  /** `does(command)`; `leave()` when a field of text is left by a key. */
  constructor(hands, { does, leave }) {
    this.#hands = hands;
    this.#does = does;
    this.#leave = leave;
  }

  #hands;
  #does;
  #leave;

  down(event) {
    const command = commandOf(event, event.target.matches(IN_TEXT));
    if (!command || (event.target.matches("select, input[type=range]") && command !== "escape")) return;
    if (event.target.matches("button, input[type=checkbox]") && ["hold", "finish"].includes(command)) return;
    event.preventDefault();
    if (command === "leaveText") this.#leave();
    else if (command === "hold") this.#hands.space = true;
    else this.#does(command === "before" ? "beforeOn" : command);
  }

  up(event) {
    if (event.key === " ") this.#hands.space = false;
    if (event.key.toLowerCase() === "x") this.#does("beforeOff");
  }
}
