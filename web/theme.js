/** The colours of the front end's theme, for what is drawn on a canvas. */

const CURVES = {
  light: {
    loss: "#71717a",
    inside: "#2563eb",
    outside: "#ea580c",
    validation: "#15803d",
    rate: "#7c3aed",
    coverage: "#0e7490",
    prior: "#be185d",
    likeness: "#2563eb",
    bleed: "#be185d",
    copy_risk: "#b45309",
    background_leak: "#0e7490",
    drift: "#71717a",
  },
  dark: {
    loss: "#a1a1aa",
    inside: "#60a5fa",
    outside: "#fb923c",
    validation: "#4ade80",
    rate: "#a78bfa",
    coverage: "#22d3ee",
    prior: "#f472b6",
    likeness: "#60a5fa",
    bleed: "#f472b6",
    copy_risk: "#fbbf24",
    background_leak: "#22d3ee",
    drift: "#a1a1aa",
  },
};

/** How bright a colour as the browser computes it ("rgb(r, g, b)") looks, 0 to 255; 0 where it is no such colour. */
export function luminance(colour) {
  const [red, green, blue] = (colour.match(/[\d.]+/g) ?? []).map(Number);
  const scale = colour.startsWith("color(") ? 255 : 1;
  return Number.isFinite(blue) ? scale * (0.299 * red + 0.587 * green + 0.114 * blue) : 0;
}

/** {text, faint, line, ground, ...one colour per curve} for an element whose text has the theme's colour. */
export function coloursOf(element) {
  const text = getComputedStyle(element).color;
  // Light text stands on a dark ground, whatever the theme's variables are called in this version of ComfyUI.
  const curves = CURVES[luminance(text) > 127 ? "dark" : "light"];
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
