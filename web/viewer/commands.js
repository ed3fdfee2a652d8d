/** What the viewer does at each command, whether it comes from a key or from a button. */

import { eraseAll } from "./tools.js";

const NEARER = 1.25;

/** Those that change nothing. */
export const LOOKS = new Set([
  "next", "previous", "close", "overlay", "cells", "before", "beforeOn", "beforeOff", "fit", "zoomIn", "zoomOut", "opacity",
  "escape", "who", "move", "frameBack", "frameOn", "paintedBack", "paintedOn",
]);

/** Functions by the names of commands. `does` are those that are the viewer's own: {go(by), close(), mark(change(item)),
 * nextFace(), revert()}. */
export function commandsOf(stage, tools, painter, helper, film, does) {
  const { look } = stage;
  const before = (on) => {
    if (look.before === on) return;
    look.before = on;
    stage.show(stage.edit);
  };
  return {
    next: () => does.go(1),
    previous: () => does.go(-1),
    close: does.close,
    undo: () => painter.undo(),
    redo: () => painter.redo(),
    grow: () => painter.grow(1),
    shrink: () => painter.grow(-1),
    finish: () => helper.accept() || painter.finish(),
    finishLeast: () => helper.accept(true),
    back: () => painter.back(),
    overlay: () => (look.overlay = !look.overlay),
    cells: () => (look.cells = !look.cells),
    before: () => before(!look.before),
    beforeOn: () => before(true),
    beforeOff: () => before(false),
    fit: () => stage.fit(),
    zoomIn: () => stage.zoom(NEARER),
    zoomOut: () => stage.zoom(1 / NEARER),
    opacity: () => (look.opacity = tools.opacity),
    done: () => does.mark((item) => ({ done: !item.done })),
    leftOut: () => does.mark((item) => ({ left_out: !item.by_hand })),
    nextFace: does.nextFace,
    revert: does.revert,
    frameBack: () => film.step(-1),
    frameOn: () => film.step(1),
    paintedBack: () => film.jump(-1),
    paintedOn: () => film.jump(1),
    carryNothing: () => film.frame !== null && painter.paint(eraseAll),
    escape: () => {
      if (helper.drop()) return;
      if (stage.points.length > 0) stage.points = [];
      else does.close();
    },
  };
}
