/** The keys: moving through the list of jobs, closing what is open, and what tells of the keys. */

/** @param {{close: () => void, isOpen: () => boolean}} page What Escape closes, if something is. */
export function listenToKeys(page) {
  const dialog = document.getElementById("keys");
  document.getElementById("show-keys").addEventListener("click", () => dialog.showModal());
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || dialog.open) return;
    if (event.target.closest("input, textarea, audio, video")) return;
    const isInList = event.target.closest("#jobs") !== null;
    const step = { j: 1, k: -1 }[event.key];
    if (step && page.isOpen()) openNext(step);
    else if (step === 1 || (isInList && event.key === "ArrowDown")) move(1);
    else if (step === -1 || (isInList && event.key === "ArrowUp")) move(-1);
    else if (event.key === "Escape") page.close();
    else if (event.key === "?") dialog.showModal();
    else return;
    event.preventDefault();
  });
}

/** Moves the focus from the job that has it to the next or the one before. */
function move(step) {
  const links = listed();
  after(links, links.indexOf(document.activeElement), step)?.focus();
}

/** Opens the job after or before the one that is open: on a phone, its row is hidden behind it. */
function openNext(step) {
  const links = listed();
  const link = after(
    links,
    links.findIndex((each) => each.hasAttribute("aria-current")),
    step,
  );
  // In its place, so that the way back leads out of the jobs, not through all of them.
  if (link) location.replace(link.hash);
}

const listed = () => [...document.querySelectorAll("#jobs a")];

/** The link so many places after another one; the first if there is no other one. */
function after(links, from, step) {
  return links[from < 0 ? 0 : Math.min(Math.max(0, from + step), links.length - 1)];
}
