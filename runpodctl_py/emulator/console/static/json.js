/** A JSON value as a person reads it: indented, long strings shortened, links as links. */

import { el } from "./dom.js";
import { recognise } from "./media.js";
import { bytes, count } from "./words.js";

const SHORT_STRING = 240;
const SHOWN_OF_LONG = 96;
const FIRST_PARTS = 1500;

/**
 * Returns an element that shows a value.
 * @param {any} value
 * @returns {HTMLElement}
 */
export function jsonView(value) {
  const view = el("pre", { class: "json", tabindex: "0" });
  fill(view, value, FIRST_PARTS);
  return view;
}

function fill(view, value, limit) {
  const writer = new Writer(view, limit);
  writer.write(value, "");
  if (writer.left > 0) return;
  const more = el("button", { type: "button", class: "more" }, "show all of it");
  more.addEventListener("click", () => {
    view.replaceChildren();
    fill(view, value, Infinity);
  });
  view.append("\n", more);
}

/** Appends a value's text to an element, up to a number of parts. */
class Writer {
  constructor(view, limit) {
    this.view = view;
    this.left = limit;
  }

  write(value, indent) {
    if (typeof value === "string") this.view.append(stringView(value));
    else if (Array.isArray(value))
      this.many(
        "[",
        "]",
        value.map((each) => [null, each]),
        indent,
      );
    else if (value !== null && typeof value === "object") {
      this.many("{", "}", Object.entries(value), indent);
    } else this.view.append(el("span", { class: "literal" }, JSON.stringify(value)));
  }

  many(open, close, entries, indent) {
    if (entries.length === 0) {
      this.view.append(open + close);
      return;
    }
    const inner = `${indent}  `;
    this.view.append(`${open}\n`);
    for (const [index, [key, each]] of entries.entries()) {
      if (this.left-- <= 0) {
        this.view.append(`${inner}… ${(entries.length - index).toLocaleString("en")} more\n`);
        break;
      }
      this.view.append(inner);
      if (key !== null) this.view.append(el("span", { class: "key" }, JSON.stringify(key)), ": ");
      this.write(each, inner);
      this.view.append(index < entries.length - 1 ? ",\n" : "\n");
    }
    this.view.append(indent + close);
  }
}

function stringView(string) {
  if (/^https?:\/\/[^\s"<>]+$/.test(string) && string.length < 4000) {
    const link = { href: string, target: "_blank", rel: "noreferrer noopener" };
    return el("a", link, JSON.stringify(string));
  }
  if (string.length <= SHORT_STRING) return el("span", { class: "string" }, JSON.stringify(string));
  const content = recognise(string);
  const what = content ? `${content.type}, ${bytes(content.bytes.length)}` : "";
  const view = el(
    "span",
    { class: "string" },
    `${JSON.stringify(string.slice(0, SHOWN_OF_LONG)).slice(0, -1)}…"`,
  );
  const label = `all ${count(string.length, "character")}`;
  const button = el("button", { type: "button", class: "more" }, label);
  button.addEventListener("click", () => {
    view.textContent = JSON.stringify(string);
    button.remove();
  });
  return el("span", {}, view, " ", what && el("span", { class: "what" }, `${what} `), button);
}
