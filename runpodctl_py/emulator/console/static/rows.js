/** What rows and details have in common: a state, a progress bar, and being chosen. */

import { el, setText } from "./dom.js";
import { state } from "./words.js";

/** Shows a bar and words at the end of an element; nothing if there is no progress. */
export function showProgress(parent, progress) {
  let view = parent.querySelector(":scope > .progress");
  if (!progress) {
    view?.remove();
    return;
  }
  if (!view) {
    const bar = el("progress", { max: 100, "aria-label": "progress" });
    view = el("span", { class: "progress" }, bar, el("span", { class: "words" }));
    parent.append(view);
  }
  const bar = view.querySelector("progress");
  bar.hidden = progress.percent === null;
  if (progress.percent !== null) bar.value = progress.percent;
  const words = [
    progress.percent === null ? "" : `${Math.round(progress.percent)} %`,
    progress.text ?? "",
    progress.step !== null && progress.total !== null ? `(${progress.step}/${progress.total})` : "",
  ];
  setText(view.querySelector(".words"), words.filter(Boolean).join(" "));
}

/** Shows a state as a word with a colour. */
export function showState(element, name, more = "") {
  element.dataset.state = name;
  setText(element, state(name) + more);
}

/** Marks a link as the one that is open or chosen; `value` is what aria-current says. */
export function choose(link, isChosen, value) {
  if (isChosen) link.setAttribute("aria-current", value);
  else link.removeAttribute("aria-current");
}
