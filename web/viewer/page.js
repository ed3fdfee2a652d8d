/** The viewer on the page of a run: read only, of files beside the page, without a server. */

import { made } from "./elements.js";
import { OnePicture } from "./tiles.js";
import { Viewer } from "./viewer.js";

const THUMBNAIL_PX = 256;

/** What `Client` is with a server. Masks are scripts that call `maskloss.mask`: a page from disk may load nothing else. */
export class PageClient {
  /** `given` is {title, tiers, items}, items having {picture, script} besides what the server's list has: addresses of
   * a picture and of its mask, beside the page. */
  constructor(given) {
    this.#given = { id: "page", helper: "", ...given };
  }

  #given;
  #masks = new Map();
  #waiting = new Map();
  name = "page";

  listen() {}

  async list() {
    return this.#given;
  }

  thumbnail(_dataset, { picture }) {
    return picture;
  }

  picture(_dataset, item, came) {
    return new OnePicture(item.picture, item, came);
  }

  async mask(_dataset, item) {
    const base = await this.#mask(item);
    const [values, painted] = [new Uint8Array(base.length), new Uint8Array(base.length)];
    return { base, values, painted, revision: "" };
  }

  async maskThumbnail(_dataset, item) {
    const weights = await this.#mask(item);
    const grey = new ImageData(item.width, item.height);
    const pixels = new Uint32Array(grey.data.buffer);
    for (let at = 0; at < weights.length; at++) pixels[at] = (0xff000000 | (weights[at] * 0x010101)) >>> 0;
    const scale = Math.min(1, THUMBNAIL_PX / Math.max(item.width, item.height));
    const [resizeWidth, resizeHeight] = [item.width, item.height].map((side) => Math.max(1, Math.round(side * scale)));
    const bitmap = await createImageBitmap(grey, { resizeWidth, resizeHeight, resizeQuality: "pixelated" });
    return { bitmap, coverage: item.coverage };
  }

  async facts() {
    return null;
  }

  /** A mask's script has come: zlib, in base64. */
  async take(id, text) {
    const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const unpacked = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    this.#waiting.get(id)?.(new Uint8Array(await new Response(unpacked).arrayBuffer()));
  }

  #mask({ id, script }) {
    if (!this.#masks.has(id)) {
      const coming = new Promise((came, failed) => {
        this.#waiting.set(id, came);
        const element = made("script");
        element.src = script;
        element.addEventListener("error", () => failed(new Error(`${script} cannot be read.`)));
        document.head.append(element);
      });
      this.#masks.set(id, coming);
    }
    return this.#masks.get(id).then((weights) => weights.slice());
  }
}

let open = null;

/** What the files beside the page call. */
globalThis.maskloss = {
  open(given) {
    open = new PageClient(given);
    const viewer = new Viewer(open, navigator.language, true);
    const opener = document.getElementById("maskloss-look-through");
    opener.hidden = false;
    opener.addEventListener("click", () => viewer.open("page"));
  },
  mask(id, text) {
    open.take(id, text);
  },
};
