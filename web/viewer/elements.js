/** Small HTML elements, with their labels. */

export function made(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text) element.textContent = text;
  return element;
}

/** A button with a picture of a letter or two, and words for who points at it or has it read out. */
export function button(text, label, does, className = "") {
  const element = made("button", className, text);
  element.type = "button";
  element.title = label;
  element.setAttribute("aria-label", label);
  element.addEventListener("click", does);
  return element;
}

/** A <select> of [value, words]. */
export function choice(label, options, does) {
  const element = made("select");
  element.setAttribute("aria-label", label);
  element.title = label;
  setOptions(element, options);
  element.addEventListener("change", () => does(element.value));
  return element;
}

export function setOptions(select, options) {
  const before = select.value;
  select.replaceChildren(
    ...options.map(([value, words]) => {
      const option = made("option", "", words);
      option.value = value;
      return option;
    }),
  );
  if (options.some(([value]) => value === before)) select.value = before;
}

/** A slider or a number with its words. */
export function slider(label, { min, max, value, type = "range" }, does) {
  const element = made("input");
  Object.assign(element, { type, min, max, value, title: label });
  element.setAttribute("aria-label", label);
  element.addEventListener("input", () => does(Number(element.value)));
  return element;
}

export function checkbox(label, does) {
  const element = made("label", "maskloss-check");
  const box = made("input");
  box.type = "checkbox";
  box.addEventListener("change", () => does(box.checked));
  element.append(box, label);
  return { element, box };
}
