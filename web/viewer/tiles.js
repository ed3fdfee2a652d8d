/** The tiles of one picture: asked for when they are seen, the newest kept. */

/** A megabyte each. */
const MOST_TILES = 96;

export class Tiles {
  /** `url({level, column, row})` is where a tile lies; `came()` is called for each that has come. */
  constructor(url, came) {
    this.#url = url;
    this.#came = came;
  }

  #url;
  #came;
  #kept = new Map();
  #closed = false;

  /** Draw on a canvas what is there of the tiles (of `tilesOf`), coarser ones where the right one has not come. */
  draw(context, view, tiles) {
    for (const tile of this.#known(tiles)) {
      const { image } = this.#kept.get(keyOf(tile));
      const size = tile.size * view.scale;
      const part = image.naturalWidth / 512;
      const rows = image.naturalHeight / 512;
      context.drawImage(image, view.x + tile.left * view.scale, view.y + tile.top * view.scale, size * part, size * rows);
    }
    for (const tile of tiles) this.#want(tile);
  }

  close() {
    this.#closed = true;
    this.#kept.clear();
  }

  /** Coarse to fine, so that fine ones lie on top. */
  *#known(tiles) {
    const finest = tiles[0]?.level ?? 0;
    const loaded = [...this.#kept.values()].filter(({ image, tile }) => image.complete && image.naturalWidth && tile.level >= finest);
    loaded.sort((a, b) => b.tile.level - a.tile.level);
    for (const { tile } of loaded) yield tile;
  }

  #want(tile) {
    const key = keyOf(tile);
    const known = this.#kept.get(key);
    if (known) {
      this.#kept.delete(key);
      this.#kept.set(key, known);
      return;
    }
    const image = new Image();
    this.#kept.set(key, { image, tile });
    image.addEventListener("load", () => !this.#closed && this.#came());
    image.addEventListener("error", () => this.#kept.delete(key));
    image.src = this.#url(tile);
    while (this.#kept.size > MOST_TILES) this.#kept.delete(this.#kept.keys().next().value);
  }
}

/** A picture that is one file, drawn as `Tiles` are. */
export class OnePicture {
  constructor(url, { width, height }, came) {
    this.#size = { width, height };
    this.#image.addEventListener("load", () => !this.#closed && came());
    this.#image.src = url;
  }

  #size;
  #image = new Image();
  #closed = false;

  draw(context, view) {
    if (!this.#image.complete || !this.#image.naturalWidth) return;
    const { width, height } = this.#size;
    context.drawImage(this.#image, view.x, view.y, width * view.scale, height * view.scale);
  }

  close() {
    this.#closed = true;
  }
}

function keyOf({ level, column, row }) {
  return `${level}/${column}/${row}`;
}
