/** A JSON value as a person reads it: indented, long strings shortened, links as links. */

import { el } from "./dom.js";
import { longText } from "./long_text.js";
import { bytes } from "./words.js";

const SHORT_STRING = 240;
const SHOWN_OF_LONG = 96;
const FIRST_PARTS = 1500;
const MORE_TIMES = 8;

/**
 * Returns an element that shows a value.
 * @param {any} value
 * @param {import("./media.js").Recogniser} recogniser Tells what long strings hold.
 * @returns {HTMLElement}
 */
export function jsonView(value, recogniser) {
  const view = el("pre", { class: "json", tabindex: "0" });
  fill(view, value, recogniser, FIRST_PARTS);
  return view;
}

function fill(view, value, recogniser, limit) {
  const writer = new Writer(view, recogniser, limit);
  writer.write(value, "");
  if (writer.left > 0) return;
  const more = el("button", { type: "button", class: "more" }, "show more of it");
  more.addEventListener("click", () => {
    view.replaceChildren();
    fill(view, value, recogniser, limit * MORE_TIMES);
  });
  view.append("\n", more);
}

/** Appends a value's text to an element, up to a number of parts. */
class Writer {
  constructor(view, recogniser, limit) {
    this.view = view;
    this.recogniser = recogniser;
    this.left = limit;
  }

  write(value, indent) {
    if (typeof value === "string") this.view.append(stringView(value, this.recogniser));
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

function stringView(string, recogniser) {
  if (/^https?:\/\/[^\s"<>]+$/.test(string) && string.length < 4000) {
    const link = { href: string, target: "_blank", rel: "noreferrer noopener" };
    return el("a", link, JSON.stringify(string));
  }
  if (string.length <= SHORT_STRING) return el("span", { class: "string" }, JSON.stringify(string));
  const content = recogniser.recognise(string);
  const what = content ? `${content.type}, ${bytes(content.bytes.length)}` : "";
  const text = { first: SHOWN_OF_LONG, quote: '"', said: inJson };
  const view = el("span", { class: "string" }, longText(string, text));
  return el("span", {}, view, what && el("span", { class: "what" }, ` ${what}`));
}

/** A part of a string as it stands in JSON. */
const inJson = (part) => JSON.stringify(part).slice(1, -1);
