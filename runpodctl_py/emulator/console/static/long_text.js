/** Texts of any length: the browser stands still for half a minute over one of some megabytes. */

import { el } from "./dom.js";
import { count } from "./words.js";

const PIECE = 100_000;
const LONGEST_AT_ONCE = 2 * PIECE;

/**
 * Shows the beginning of a text, with a button for what follows, piece by piece, and another one
 * that saves all of it when that is many pieces.
 * @param {string} text
 * @param {Object} [options]
 * @param {number} [options.first] How much is shown at first.
 * @param {string} [options.quote] What stands around it.
 * @param {(part: string) => string} [options.said] How a part of it is written.
 * @returns {HTMLElement}
 */
export function longText(text, { first = PIECE, quote = "", said = (part) => part } = {}) {
  const isLarge = text.length > LONGEST_AT_ONCE;
  const isShort = isLarge && first < PIECE;
  const pieces = el("span", {});
  const rest = el("span", {});
  const more = el("button", { type: "button", class: "more" });
  let shown = 0;
  const show = (length, kind) => {
    const end = pieceEnd(text, shown + length);
    pieces.append(el("span", { class: kind }, said(text.slice(shown, end))));
    shown = end;
    const left = text.length - shown;
    rest.textContent = left > 0 ? `…${quote} ` : quote;
    more.hidden = left <= 0;
    more.textContent = isLarge
      ? `${count(nextLength(left), "character")} more of ${text.length.toLocaleString("en")}`
      : `all ${count(text.length, "character")}`;
  };
  show(first, isLarge && !isShort ? "piece large" : "piece");
  more.addEventListener("click", () => {
    if (isShort && shown <= first + 1) {
      // Large pieces begin lines of their own, so that the next one leaves them as they are.
      pieces.replaceChildren();
      shown = 0;
    }
    show(nextLength(text.length - shown), isLarge ? "piece large" : "piece");
  });
  const view = el("span", {}, quote, pieces, rest, more);
  if (isLarge) view.append(" ", saveButton(text));
  return view;
}

const nextLength = (left) => (left <= LONGEST_AT_ONCE ? left : PIECE);

/** Where a piece ends: never between the two halves of a character. */
function pieceEnd(text, end) {
  return /^[\ud800-\udbff][\udc00-\udfff]/.test(text.slice(end - 1, end + 1)) ? end + 1 : end;
}

function saveButton(text) {
  const button = el("button", { type: "button", class: "more" }, "download");
  button.addEventListener("click", () => {
    const url = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
    el("a", { href: url, download: "text.txt" }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  });
  return button;
}
