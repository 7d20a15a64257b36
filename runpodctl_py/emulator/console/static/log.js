/** A worker's log, as it is written. */

import { command, copyButton, el, setText } from "./dom.js";
import { showState } from "./rows.js";
import { follow } from "./stream.js";
import { count } from "./words.js";

const MOST_LINES = 3000;

/**
 * Shows a worker with its log in an element, live.
 * @param {HTMLElement} parent
 * @param {string} workerId
 * @returns {{end: () => void, update: (worker: any|undefined) => void}} `update` takes the worker
 *     as the overview has it; undefined when it is gone.
 */
export function showWorker(parent, workerId) {
  const view = new WorkerView(parent, workerId);
  const end = follow(`/_local/console/workers/${encodeURIComponent(workerId)}/log`, {
    opened: () => view.clear(),
    message(line, name) {
      if (name === "earlier") view.showEarlier();
      else view.add(line);
    },
    refused: () => view.say("There is no such worker, and no log of it."),
  });
  return { end, update: (worker) => view.update(worker) };
}

class WorkerView {
  constructor(parent, workerId) {
    this.state = el("span", { class: "state" });
    this.jobs = el("p", { class: "jobs-of" });
    this.note = el("p", { class: "empty" }, "Nothing was written yet.");
    this.earlier = el(
      "p",
      { class: "empty", hidden: true },
      "Earlier lines are not shown here. To see them: ",
      command(`runpodctl-py local logs --worker ${workerId}`),
    );
    this.log = el("div", { class: "log", tabindex: "0", role: "region", "aria-label": "Log" });
    this.onward = el(
      "button",
      { type: "button", class: "onward", hidden: true },
      "Go on following",
    );
    this.onward.addEventListener("click", () => this.follow());
    this.log.addEventListener("scroll", () => this.scrolled());
    this.fresh = [];
    this.isFollowing = true;
    parent.append(
      el(
        "p",
        { class: "title-line" },
        this.state,
        el("code", { class: "id" }, workerId),
        copyButton(workerId, "the worker's id"),
      ),
      this.jobs,
      el("h3", {}, "Log"),
      this.note,
      this.earlier,
      this.log,
      this.onward,
    );
  }

  update(worker) {
    if (!worker) {
      this.state.dataset.state = "GONE";
      setText(this.state, "gone");
      this.jobs.replaceChildren();
      return;
    }
    showState(this.state, worker.state, worker.leaving ? ", leaving" : "");
    const told = worker.jobs.join();
    if (told === this.toldJobs) return;
    this.toldJobs = told;
    const links = worker.jobs.flatMap((id) => [
      el("a", { href: `#/job/${worker.endpointId}/${id}` }, id),
      " ",
    ]);
    this.jobs.replaceChildren(...(links.length ? ["Works on ", ...links] : []));
  }

  say(text) {
    this.note.hidden = false;
    setText(this.note, text);
  }

  clear() {
    this.fresh = [];
    this.log.replaceChildren();
    this.note.hidden = false;
    this.earlier.hidden = true;
  }

  /** Says that the log begins before what is shown of it. */
  showEarlier() {
    this.earlier.hidden = false;
  }

  /** Keeps a line for the next frame: thousands may come at once. */
  add(line) {
    this.fresh.push(line);
    if (this.fresh.length === 1) requestAnimationFrame(() => this.flush());
    if (this.fresh.length <= MOST_LINES) return;
    this.fresh.splice(1, this.fresh.length - MOST_LINES);
    this.showEarlier();
  }

  flush() {
    this.note.hidden = true;
    this.log.append(...this.fresh.map(lineView));
    this.fresh = [];
    while (this.log.childElementCount > MOST_LINES) {
      this.log.firstElementChild.remove();
      this.showEarlier();
    }
    if (this.isFollowing) this.log.scrollTop = this.log.scrollHeight;
    else setText(this.onward, `Go on following (${count(this.log.childElementCount, "line")})`);
  }

  scrolled() {
    const left = this.log.scrollHeight - this.log.clientHeight - this.log.scrollTop;
    this.isFollowing = left < 8;
    this.onward.hidden = this.isFollowing;
  }

  follow() {
    this.log.scrollTop = this.log.scrollHeight;
    this.log.focus();
  }
}

function lineView({ time, text, level, jobId }) {
  const clock = time ? new Date(time).toLocaleTimeString([], { hour12: false }) : "";
  return el(
    "div",
    { class: "line", "data-level": level ?? "" },
    el("time", {}, clock),
    el(
      "span",
      { class: "said" },
      ...(level ? [el("b", {}, level), " "] : []),
      text,
      ...(jobId ? [" ", el("i", {}, jobId)] : []),
    ),
  );
}
