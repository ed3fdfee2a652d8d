/** The viewer's routes, as `core/viewer/answers.py` lists them. */

import { Tiles } from "./tiles.js";

export const EVENT = "maskloss.corrected";
const ROUTE = "/maskloss/viewer";
const STALE = 409;

/** What the server refused, in its words. `revision` is there where somebody else has changed the correction. */
export class Refusal extends Error {
  constructor(status, { error, revision } = {}) {
    super(error ?? `The server answers ${status}.`);
    this.status = status;
    this.revision = revision;
  }

  get isStale() {
    return this.status === STALE;
  }
}

export class Client {
  /** `api` is ComfyUI's; `name` tells this tab from others. */
  constructor(api, name) {
    this.#api = api;
    this.name = name;
  }

  #api;

  /** `hears` is told {dataset, item, revision, client} of every change, by whomever. */
  listen(hears) {
    this.#api.addEventListener(EVENT, ({ detail }) => hears(detail));
  }

  /** The address of an item's thumbnail. */
  thumbnail(dataset, item) {
    return this.#url(dataset, item, "thumbnail");
  }

  /** What draws an item's picture; `came()` is called when there is more of it. Here and below `frame` is a video's. */
  picture(dataset, item, came, frame = null) {
    return new Tiles(({ level, column, row }) => this.#url(dataset, item, "tile", { level, column, row, ...ofFrame(frame) }), came);
  }

  async list(dataset) {
    return (await this.#ask(`/${dataset}`)).json();
  }

  async facts(dataset, item) {
    return (await this.#ask(`/${dataset}/${item}`)).json();
  }

  /** {base, values, painted, revision} of `width` x `height` bytes. */
  async mask(dataset, { id, width, height }, frame = null) {
    const query = frame === null ? "" : `?${new URLSearchParams(ofFrame(frame))}`;
    const [base, correction] = await Promise.all([
      this.#bytes(`/${dataset}/${id}/mask${query}`),
      this.#bytes(`/${dataset}/${id}/correction${query}`),
    ]);
    const size = width * height;
    if (base.bytes.length !== size || correction.bytes.length !== 2 * size) throw new Refusal(400);
    const revision = correction.headers.get("X-MaskLoss-Revision") ?? "";
    return {
      base: base.bytes,
      // Halves of what has come, not copies: a photograph of 50 MP has 100 MB of them.
      values: correction.bytes.subarray(0, size),
      painted: correction.bytes.subarray(size),
      revision,
    };
  }

  /** {painted, carried} of a video: numbers of frames, and [from which, first, last]. */
  async timeline(dataset, { id }) {
    return (await this.#ask(`/${dataset}/${id}/frames`)).json();
  }

  /** {bitmap, coverage} of the mask's thumbnail. */
  async maskThumbnail(dataset, { id }) {
    const answer = await this.#ask(`/${dataset}/${id}/mask-thumbnail`);
    const coverage = Number(answer.headers.get("X-MaskLoss-Coverage"));
    return { bitmap: await createImageBitmap(await answer.blob()), coverage };
  }

  /** Keep a stroke; the new revision. */
  async paint(dataset, item, area, planes, revision, frame = null) {
    const { left, top, right, bottom } = area;
    const place = { left, top, width: right - left, height: bottom - top, revision, client: this.name, ...ofFrame(frame) };
    const packed = new Blob([planes]).stream().pipeThrough(new CompressionStream("deflate"));
    const body = await new Response(packed).arrayBuffer();
    const headers = { "Content-Type": "application/octet-stream" };
    const path = `/${dataset}/${item}/correction?${new URLSearchParams(place)}`;
    return (await (await this.#ask(path, { method: "POST", headers, body })).json()).revision;
  }

  /** The region {left, top, width, height, inside: 255 or 0} at what is pointed at. */
  async propose(dataset, item, pointing, frame = null) {
    const headers = { "Content-Type": "application/json" };
    const asked = { method: "POST", headers, body: JSON.stringify(pointing) };
    const query = new URLSearchParams(ofFrame(frame));
    const { bytes: inside, headers: told } = await this.#bytes(`/${dataset}/${item}/propose?${query}`, asked);
    const [left, top, width, height] = told.get("X-MaskLoss-Place").split(",").map(Number);
    return { left, top, width, height, inside };
  }

  /** `end` is keep, revert, marks or caption. */
  async post(dataset, item, end, content, frame = null) {
    const path = `/${dataset}/${item}/${end}?${new URLSearchParams({ client: this.name, ...ofFrame(frame) })}`;
    const headers = { "Content-Type": "application/json" };
    return (await this.#ask(path, { method: "POST", headers, body: JSON.stringify(content) })).json();
  }

  #url(dataset, { id }, end, query = {}) {
    const asked = new URLSearchParams(query).toString();
    return this.#api.apiURL(`${ROUTE}/${dataset}/${id}/${end}${asked ? `?${asked}` : ""}`);
  }

  async #bytes(path, options) {
    const answer = await this.#ask(path, options);
    const unpacked = answer.body.pipeThrough(new DecompressionStream("deflate"));
    return { bytes: new Uint8Array(await new Response(unpacked).arrayBuffer()), headers: answer.headers };
  }

  async #ask(path, options = {}) {
    const answer = await this.#api.fetchApi(ROUTE + path, options);
    if (answer.ok) return answer;
    throw new Refusal(answer.status, await answer.json().catch(() => ({})));
  }
}

/** A frame of a video as a part of an address. */
function ofFrame(frame) {
  return frame === null ? {} : { frame };
}
