/** The colours of the front end's theme, for what is drawn on a canvas. */

/** How bright a colour as the browser computes it ("rgb(r, g, b)") looks, 0 to 255; 0 where it is no such colour. */
export function luminance(colour) {
  const [red, green, blue] = (colour.match(/[\d.]+/g) ?? []).map(Number);
  const scale = colour.startsWith("color(") ? 255 : 1;
  return Number.isFinite(blue) ? scale * (0.299 * red + 0.587 * green + 0.114 * blue) : 0;
}

/**
 * {text, faint, line, ...a colour by the name of each of `metrics`, whose `colours` are those on light and on dark
 * ground} for an element whose text has the theme's colour.
 */
export function coloursOf(element, metrics) {
  const text = getComputedStyle(element).color;
  // Light text stands on a dark ground, whatever the theme's variables are called in this version of ComfyUI.
  const ground = luminance(text) > 127 ? 1 : 0;
  const curves = Object.fromEntries(metrics.map(({ name, colours }) => [name, colours[ground]]));
  return { text, faint: withAlpha(text, 0.65), line: withAlpha(text, 0.14), ...curves };
}

/** The computed colour with another opacity. */
export function withAlpha(colour, alpha) {
  const parts = colour.match(/[\d.]+/g);
  return colour.startsWith("rgb") && parts ? `rgba(${parts.slice(0, 3).join(", ")}, ${alpha})` : colour;
}

/** Call `changed` when the theme changes, until the signal is aborted. */
export function onThemeChange(changed, signal) {
  const observer = new MutationObserver(changed);
  for (const element of [document.documentElement, document.body]) {
    observer.observe(element, { attributes: true, attributeFilter: ["class", "style"] });
  }
  signal.addEventListener("abort", () => observer.disconnect());
}
