/** What each key does in the viewer. Pure. */

const PLAIN = {
  ArrowRight: "next", ArrowDown: "next", PageDown: "next", ArrowLeft: "previous", ArrowUp: "previous",
  PageUp: "previous", 1: "tier0", 2: "tier1", 3: "tier2", 4: "tier3", 5: "weight", b: "brush", p: "polygon", f: "fill",
  v: "move", w: "who", h: "help", n: "nextFace", e: "erase", "[": "smaller", "]": "larger", ",": "shrink", ".": "grow", o: "overlay", g: "cells", 0: "fit",
  "+": "zoomIn", "=": "zoomIn", "-": "zoomOut", m: "done", l: "leftOut", Enter: "finish", Escape: "escape", x: "before",
  " ": "hold", Backspace: "back", j: "frameBack", k: "frameOn", s: "carryNothing",
};
const SHIFTED = { Enter: "finishLeast", j: "paintedBack", k: "paintedOn" };

/** The name of what a key press asks for, or null; in a field of text nothing but leaving it. */
export function commandOf({ key, ctrlKey, metaKey, shiftKey, altKey }, inText = false) {
  if (inText) return key === "Escape" ? "leaveText" : null;
  if (altKey) return null;
  if (ctrlKey || metaKey) {
    const letter = key.toLowerCase();
    if (letter === "z") return shiftKey ? "redo" : "undo";
    return letter === "y" ? "redo" : null;
  }
  const name = key.length === 1 ? key.toLowerCase() : key;
  if (shiftKey && Object.hasOwn(SHIFTED, name)) return SHIFTED[name];
  return Object.hasOwn(PLAIN, name) ? PLAIN[name] : null;
}
