/** What is drawn over a picture and its mask: the latent grid, a polygon that is not closed yet, the brush, faces. Pure but for
 * the canvas. */

import { trainedArea } from "./view.js";

/** Of a latent cell in pixels of the bucket: that of nearly all autoencoders. */
export const STRIDE_PX = 8;

/** `context` is in CSS pixels and empty. `cursor` is {x, y, radius} or null and `points` a polygon's, in the picture;
 * `faces` are those that can be chosen, `pointed` the number of the one under the mouse, `proposal` and `box` a region
 * and a rectangle. */
export function drawMarks(context, { view, picture, look, cursor, points, faces, pointed, proposal, box }) {
  const { scale, x, y } = view;
  if (proposal) {
    const { left, top, width, height } = proposal;
    context.imageSmoothingEnabled = false;
    context.drawImage(proposal.picture, left * scale + x, top * scale + y, width * scale, height * scale);
  }
  if (box) {
    context.beginPath();
    context.rect(box[0] * scale + x, box[1] * scale + y, box[2] * scale, box[3] * scale);
    outline(context);
  }
  for (const face of faces) drawFace(context, view, picture, face, face.index === pointed);
  if (look.cells && look.bucket) drawGrid(context, view, picture, look.bucket);
  if (points.length > 0) {
    context.beginPath();
    for (const each of points) context.lineTo(each.x * scale + x, each.y * scale + y);
    if (cursor) context.lineTo(cursor.x * scale + x, cursor.y * scale + y);
    outline(context);
  } else if (cursor?.radius) {
    context.beginPath();
    context.arc(cursor.x * scale + x, cursor.y * scale + y, Math.max(2, cursor.radius * scale), 0, 7);
    outline(context);
  }
}

function drawGrid(context, { scale, x, y }, picture, bucket) {
  const trained = trainedArea(picture, bucket, STRIDE_PX);
  const [left, top] = [trained.left * scale + x, trained.top * scale + y];
  const [width, height, step] = [trained.width * scale, trained.height * scale, trained.cell * scale];
  context.strokeStyle = "rgb(255 255 255 / 35%)";
  context.lineWidth = 1;
  context.beginPath();
  context.rect(left, top, width, height);
  if (step >= 5) {
    for (let at = 1; at < trained.columns; at++) line(context, left + at * step, top, 0, height);
    for (let at = 1; at < trained.rows; at++) line(context, left, top + at * step, width, 0);
  }
  context.stroke();
}

/** A face with its number and how alike it is; that of the person is green, thick where somebody chose it. */
function drawFace(context, { scale, x, y }, picture, face, isPointed) {
  const [left, top, right, bottom] = face.box;
  const place = [left * picture.width * scale + x, top * picture.height * scale + y];
  const size = [(right - left) * picture.width * scale, (bottom - top) * picture.height * scale];
  context.beginPath();
  context.rect(...place, ...size);
  if (isPointed) {
    context.fillStyle = "rgb(255 255 255 / 25%)";
    context.fill();
  }
  outline(context, face.chosen || face.byHand ? "#4ade80" : "#fff", face.byHand ? 3 : 1.2);
  const said = `${face.index}${face.similarity === null ? "" : ` · ${face.similarity.toFixed(2)}`}${face.byHand ? " ★" : ""}`;
  context.font = "600 12px Inter, system-ui, sans-serif";
  const at = [place[0], Math.max(0, place[1] - 18)];
  context.fillStyle = "rgb(0 0 0 / 75%)";
  context.fillRect(...at, context.measureText(said).width + 10, 17);
  context.fillStyle = "#fff";
  context.fillText(said, at[0] + 5, at[1] + 12.5);
}

function outline(context, colour = "#fff", width = 1.2) {
  context.lineWidth = width + 1.8;
  context.strokeStyle = "rgb(0 0 0 / 70%)";
  context.stroke();
  context.lineWidth = width;
  context.strokeStyle = colour;
  context.stroke();
}

function line(context, x, y, dx, dy) {
  context.moveTo(x, y);
  context.lineTo(x + dx, y + dy);
}
