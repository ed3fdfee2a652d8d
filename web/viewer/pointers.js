/** Mouse, finger and pen on a canvas: what paints, what moves the picture, what zooms. */

const ZOOM = 1.0015;

/**
 * Listen on `canvas`. `hears` are {start, move, end, hover} with (point of the canvas in CSS pixels, event); `end` has no
 * point where the press is given up, `hover` none where the pointer has left. `moves` are {zoom(factor, point),
 * drag(before, after, other)}, `other` being where a second finger rests. `isOpen()`: there is a picture.
 * `pans(event)`: whether a press moves.
 */
export function listen(canvas, { hears, moves, isOpen, pans }) {
  const pointers = new Map();
  let pressed = null;
  let pen = false;
  const place = (event) => ({ x: event.offsetX, y: event.offsetY });
  canvas.style.touchAction = "none";
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    moves.zoom(ZOOM ** -(event.deltaMode ? event.deltaY * 30 : event.deltaY), place(event));
  });
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("pointerdown", (event) => {
    // The palm of the hand that holds the pen.
    if (!isOpen() || (pen && event.pointerType === "touch")) return;
    canvas.focus({ preventScroll: true });
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, place(event));
    if (pointers.size > 1) {
      // The second finger: what the first began to paint is given up.
      if (pressed === "paint") hears.end(null, event);
      pressed = "pan";
    } else if (event.button === 1 || event.button === 2 || pans(event)) {
      pressed = "pan";
    } else {
      pressed = "paint";
      pen = event.pointerType === "pen";
      hears.start(place(event), event);
    }
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!isOpen()) return;
    if (pressed === "pan" && pointers.has(event.pointerId)) {
      const before = pointers.get(event.pointerId);
      const other = [...pointers].find(([key]) => key !== event.pointerId)?.[1];
      pointers.set(event.pointerId, place(event));
      moves.drag(before, place(event), other);
    } else if (pressed === "paint" && pointers.has(event.pointerId)) {
      pointers.set(event.pointerId, place(event));
      const events = event.getCoalescedEvents?.() ?? [];
      for (const each of events.length > 0 ? events : [event]) hears.move(place(each), each);
    }
    hears.hover(place(event), event);
  });
  const up = (event) => {
    if (!pointers.delete(event.pointerId)) return;
    if (pressed === "paint") hears.end(place(event), event);
    if (pointers.size === 0 || pressed === "paint") [pressed, pen] = [null, false];
  };
  canvas.addEventListener("pointerup", up);
  canvas.addEventListener("pointercancel", up);
  canvas.addEventListener("pointerleave", () => hears.hover(null));
}
