/** The page: what is open, by its address, and the stream that keeps the overview up to date. */

import { command, el, setText } from "./dom.js";
import { showJob } from "./job.js";
import { listenToGroups } from "./jobs.js";
import { listenToKeys } from "./keys.js";
import { showWorker } from "./log.js";
import { showOverview, showTimes } from "./overview.js";
import { follow } from "./stream.js";
import * as time from "./time.js";

const detail = document.getElementById("detail");
const chosen = { endpointId: null, group: "", address: "" };
let shown = null;
/** What is open: its end, and what it wants to know of the overview. */
let open = null;

function render() {
  if (!shown) return;
  leaveDeletedEndpoint();
  showOverview(shown, chosen);
  open?.update?.(shown);
  showTimes();
}

/** Chooses no endpoint when the chosen one is not there, or not any more. */
function leaveDeletedEndpoint() {
  if (!chosen.endpointId || shown.endpoints.some(({ id }) => id === chosen.endpointId)) return;
  chosen.endpointId = null;
  if (open) return;
  history.replaceState(null, "", "#/");
  chosen.address = location.hash;
}

/** The parts of the address; none of one that nobody here has made. */
function addressParts() {
  try {
    return location.hash.split("/").slice(1).map(decodeURIComponent);
  } catch {
    return [];
  }
}

/** Opens what the address names: an endpoint's jobs, a job, or a worker. */
function route() {
  const [kind, first, second] = addressParts();
  open?.end();
  open = null;
  detail.replaceChildren();
  chosen.address = location.hash;
  if (kind === "job" && first && second) openJob(first, second);
  else if (kind === "worker" && first) openWorker(first);
  else chosen.endpointId = kind === "endpoint" && first ? first : null;
  detail.hidden = open === null;
  document.body.classList.toggle("has-detail", open !== null);
  render();
  detail.querySelector("h2")?.focus();
}

function openJob(endpointId, jobId) {
  head("Job");
  open = { end: showJob(detail, endpointId, jobId) };
}

function openWorker(workerId) {
  head("Worker");
  const view = showWorker(detail, workerId);
  const find = ({ workers }) => workers.find((each) => each.id === workerId);
  open = { end: view.end, update: (all) => view.update(find(all)) };
}

function head(title) {
  const button = el("button", { type: "button", class: "close" }, "Close");
  button.addEventListener("click", close);
  detail.append(
    el("div", { class: "head" }, el("h2", { id: "detail-title", tabindex: "-1" }, title), button),
  );
}

/** Closes the detail, and goes back to the job it was about. */
function close() {
  if (!open) return;
  const address = chosen.address;
  history.pushState(null, "", chosen.endpointId ? `#/endpoint/${chosen.endpointId}` : "#/");
  route();
  [...document.querySelectorAll("#jobs a, #workers a")]
    .find((each) => each.hash === address)
    ?.focus();
}

const NOTICES = {
  lost: [
    "The local RunPod does not answer. This page goes on by itself when it is back.",
    "runpodctl-py local up",
  ],
  out: ["This page may not look any more. To open it again:", "runpodctl-py local console"],
};

function say(state, words) {
  const connection = document.getElementById("connection");
  connection.dataset.state = state;
  setText(connection, words);
  const notice = document.getElementById("notice");
  notice.hidden = !(state in NOTICES);
  if (!notice.hidden && notice.dataset.says !== state) {
    notice.replaceChildren(NOTICES[state][0], " ", command(NOTICES[state][1]));
  }
  notice.dataset.says = state;
}

follow("/_local/console/events", {
  opened: () => say("live", "live"),
  message(told) {
    // After an update, this page's scripts are those of another version.
    if (shown && shown.version !== told.shown.version) location.reload();
    time.set(told.clock);
    shown = told.shown;
    render();
  },
  lost: () => say("lost", "not there"),
  refused: () => say("out", "signed out"),
});
setInterval(showTimes, 1000);
window.addEventListener("hashchange", route);
listenToKeys({ close, isOpen: () => open !== null });
listenToGroups((group) => {
  chosen.group = group;
  render();
});
route();
