/** What a press on the picture does: it moves the picture, or the tool that is chosen works. */

export class Hands {
  /** `hands` are, by tool, objects with start(point, event), move(point), end(point) and hover(point), each as far as the
   * tool needs it. */
  constructor(stage, tools, hands) {
    this.#stage = stage;
    this.#tools = tools;
    this.#hands = hands;
  }

  #stage;
  #tools;
  #hands;
  #pen = false;
  /** The space bar is held: every press moves. */
  space = false;

  get #hand() {
    return this.#hands[this.#tools.tool] ?? {};
  }

  start(point, event) {
    if (event.pointerType === "pen") this.#pen = true;
    this.#hand.start?.(point, event);
  }

  move(point) {
    this.#hand.move?.(point);
  }

  end(point) {
    this.#hand.end?.(point);
  }

  hover(point) {
    this.#stage.cursor = null;
    this.#hand.hover?.(point);
    this.#stage.canvas.style.cursor = this.#tools.tool === "move" || this.space ? "grab" : "crosshair";
    this.#stage.point();
  }

  /** Whether a press moves the picture. Where there is a pen, fingers do. */
  pans(event) {
    return this.space || this.#tools.tool === "move" || !this.#stage.edit || (event.pointerType === "touch" && this.#pen);
  }
}
