/** The keys: moving through the list of jobs, closing what is open, and what tells of the keys. */

/** @param {{close: () => void}} page What Escape closes. */
export function listenToKeys(page) {
  const dialog = document.getElementById("keys");
  document.getElementById("show-keys").addEventListener("click", () => dialog.showModal());
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || dialog.open) return;
    if (event.target.closest("input, textarea, audio, video")) return;
    const isInList = event.target.closest("#jobs") !== null;
    if (event.key === "j" || (isInList && event.key === "ArrowDown")) move(1);
    else if (event.key === "k" || (isInList && event.key === "ArrowUp")) move(-1);
    else if (event.key === "Escape") page.close();
    else if (event.key === "?") dialog.showModal();
    else return;
    event.preventDefault();
  });
}

/** Moves the focus from the job that has it, or is open, to the next or the one before. */
function move(step) {
  const links = [...document.querySelectorAll("#jobs a")];
  const focused = links.indexOf(document.activeElement);
  const from =
    focused >= 0 ? focused : links.findIndex((each) => each.hasAttribute("aria-current"));
  const to = from < 0 ? 0 : Math.min(Math.max(0, from + step), links.length - 1);
  links[to]?.focus();
}
