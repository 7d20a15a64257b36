/**
 * Making elements and keeping lists of them in step with data. Whatever comes from workers and
 * clients goes into the page through here, as text.
 */

/**
 * Makes an element.
 * @param {string} tag
 * @param {Object<string, string|number|boolean|EventListener>} properties Attributes; `onX` is a
 *     listener for the event x, and false leaves an attribute out.
 * @param {...(Node|string)} children Strings become text.
 * @returns {HTMLElement}
 */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (typeof value === "function") element.addEventListener(name.slice(2).toLowerCase(), value);
    else if (value !== false) element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children);
  return element;
}

/** The element of the page with an id. */
export const part = (id) => document.getElementById(id);

/** Shows a text; leaves the element alone if it shows that already. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Keeps a list's elements in step with items: one for each, in their order. An element stays the
 * same as long as its item is there, and so do the focus and what the person has selected.
 * @template T
 * @param {Element} parent
 * @param {T[]} items
 * @param {(item: T) => string} keyOf
 * @param {(item: T) => HTMLElement} make
 * @param {(element: HTMLElement, item: T) => void} update
 */
export function keepInStep(parent, items, keyOf, make, update) {
  const wanted = new Set(items.map(keyOf));
  const known = new Map();
  for (const element of [...parent.children]) {
    if (wanted.has(element.dataset.key)) known.set(element.dataset.key, element);
    else element.remove();
  }
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    const element = known.get(key) ?? make(item);
    element.dataset.key = key;
    update(element, item);
    if (element === place) place = place.nextElementSibling;
    else parent.insertBefore(element, place);
  }
}

/** A button that copies a text, which is told as what it is. */
export function copyButton(text, what, label = "copy") {
  const button = el(
    "button",
    { type: "button", class: "copy", "aria-label": `Copy ${what}` },
    label,
  );
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "copied";
    } catch {
      button.textContent = "not allowed";
    }
    setTimeout(() => (button.textContent = label), 1500);
  });
  return button;
}

/** A command for the terminal, to be read and copied. */
export function command(text) {
  return el("span", { class: "command" }, el("code", {}, text), copyButton(text, "the command"));
}
