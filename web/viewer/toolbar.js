/** What is painted with: tool, weight, size; and how the picture is shown. */

import { button, made, slider } from "./elements.js";
import { colourOf } from "./overlay.js";

const TOOLS = { brush: "✎", polygon: "⬠", fill: "▩", help: "✦", who: "☺", move: "✥" };
const ACTIONS = { undo: "↶", redo: "↷", shrink: "−1", grow: "+1" };
const LOOKS = { overlay: "◐", cells: "▦", before: "⇄", fit: "⤢" };
const STEP = 1.25;
const MOST_RADIUS = 1000;

export class Toolbar {
  /** `does(command)` hears what is not the toolbar's own. Where it is `readOnly` there is nothing to paint with. */
  constructor(words, does, readOnly = false) {
    this.#words = words;
    this.#does = does;
    this.element = made("div", "maskloss-tools");
    this.element.setAttribute("role", "toolbar");
    this.element.dataset.readOnly = String(readOnly);
    for (const [name, sign] of Object.entries(TOOLS)) this.#add(name, sign, words.tools[name], () => this.do(name));
    this.#tiers = made("div", "maskloss-tiers");
    this.#weight = slider(words.weight, { min: 0, max: 255, value: 255, type: "number" }, (value) => {
      if (value >= 0 && value <= 255) this.#choose(Math.round(value));
    });
    this.#size = slider(words.size, { min: 0, max: 100, value: 50 }, (value) => {
      this.radius = Math.round(MOST_RADIUS ** (value / 100));
    });
    this.#size.classList.add("maskloss-size");
    this.element.append(this.#tiers, this.#weight, this.#size);
    for (const [name, sign] of Object.entries(ACTIONS)) this.#add(name, sign, words[name], () => does(name));
    for (const [name, sign] of Object.entries(LOOKS)) this.#add(name, sign, words[name], () => does(name));
    const opacity = slider(words.opacity, { min: 0, max: 100, value: 50 }, (value) => {
      this.opacity = value / 100;
      does("opacity");
    });
    this.element.append(opacity);
    this.#add("revert", "⟲", words.revert, () => does("revert"));
    this.do(readOnly ? "move" : "brush");
    this.#sized();
  }

  #words;
  #does;
  #buttons = {};
  #tiers;
  #weight;
  #size;
  /** Weights by the tiers' names. */
  tiers = {};
  tool = "brush";
  /** The weight that is painted; null takes paint away. */
  value = 255;
  radius = 24;
  opacity = 0.5;

  /** One button for each tier, {name: weight}. */
  setTiers(tiers) {
    this.tiers = tiers;
    const names = Object.keys(this.#words.tiers).filter((name) => name in tiers);
    this.#tiers.replaceChildren(
      ...names.map((name, index) => {
        const label = `${this.#words.tiers[name]} ${tiers[name]} (${index + 1})`;
        const one = button(this.#words.tiers[name], label, () => this.#choose(tiers[name]), "maskloss-tier");
        one.style.setProperty("--maskloss-tier", `rgb(${colourOf(tiers[name], tiers).join(" ")})`);
        one.dataset.value = tiers[name];
        return one;
      }),
      button("⌫", this.#words.erase, () => this.#choose(null), "maskloss-tier maskloss-erase"),
    );
    this.#choose(tiers.background ?? 0);
  }

  setHistory(edit) {
    this.#buttons.undo.disabled = !edit.canUndo;
    this.#buttons.redo.disabled = !edit.canRedo;
  }

  setLook(look) {
    for (const name of ["overlay", "cells", "before"]) {
      this.#buttons[name].setAttribute("aria-pressed", String(look[name]));
    }
  }

  do(command) {
    if (command in TOOLS) {
      this.tool = command;
      for (const name of Object.keys(TOOLS)) {
        this.#buttons[name].setAttribute("aria-pressed", String(name === command));
      }
    } else if (command.startsWith("tier")) {
      const name = Object.keys(this.#words.tiers).filter((each) => each in this.tiers)[Number(command.slice(4))];
      if (name) this.#choose(this.tiers[name]);
    } else if (command === "erase") this.#choose(null);
    else if (command === "weight") this.#weight.focus();
    else if (command === "larger" || command === "smaller") {
      const by = command === "larger" ? STEP : 1 / STEP;
      const next = Math.round(this.radius * by);
      this.radius = Math.min(MOST_RADIUS, Math.max(1, next === this.radius ? next + (by > 1 ? 1 : -1) : next));
      this.#sized();
    }
  }

  #choose(value) {
    this.value = value;
    if (value !== null) this.#weight.value = value;
    for (const one of this.#tiers.children) {
      const own = one.dataset.value === undefined ? null : Number(one.dataset.value);
      one.setAttribute("aria-pressed", String(own === value));
    }
  }

  #sized() {
    this.#size.value = (100 * Math.log(this.radius)) / Math.log(MOST_RADIUS);
  }

  #add(name, sign, label, does) {
    this.#buttons[name] = button(sign, label, does);
    this.#buttons[name].dataset.does = name;
    this.element.append(this.#buttons[name]);
  }
}
