/** The overview: endpoints, workers and jobs, kept in step with what the emulator tells. */

import { command, copyButton, el, keepInStep, setText } from "./dom.js";
import { readProgress } from "./progress.js";
import * as time from "./time.js";
import { count, duration, roughly, state } from "./words.js";

const TRY_IT = "runpodctl-py submit --task text_processing --local";
const FINAL = new Set(["COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT"]);

const part = (id) => document.getElementById(id);

/** The address of a job's detail. */
export const addressOfJob = (job) => `#/job/${job.endpointId}/${job.id}`;

/**
 * Shows it all.
 * @param {any} shown What the emulator told last.
 * @param {{endpointId: string|null, address: string}} chosen Whose jobs, and what is open.
 */
export function showOverview(shown, chosen) {
  showFaults(shown.faults);
  showEndpoints(shown.endpoints, chosen);
  showWorkers(shown, chosen);
  showJobs(shown.endpoints, chosen);
}

/** Says all times anew. */
export function showTimes() {
  for (const element of document.querySelectorAll("[data-from]")) {
    const passed = time.now() - Number(element.dataset.from);
    setText(element, element.dataset.says.replace("#", roughly(passed)));
  }
  const remark = time.remark();
  part("clock").hidden = !remark;
  setText(part("clock"), remark);
}

function showFaults(faults) {
  const items = faults.map((text, index) => ({ text, key: `${index} ${text}` }));
  keepInStep(
    part("faults"),
    items,
    (each) => each.key,
    (each) => el("li", { class: "chip fault" }, `fault ${each.text}`),
    () => {},
  );
}

function showEndpoints(endpoints, chosen) {
  const all = { id: "", name: "All endpoints" };
  keepInStep(
    part("endpoints"),
    endpoints.length > 1 ? [all, ...endpoints] : endpoints,
    (each) => each.id,
    (each) => (each === all ? el("li", {}, el("a", { href: "#/" }, each.name)) : newEndpoint(each)),
    (element, each) => {
      if (each !== all) updateEndpoint(element, each);
      const isChosen = each.id === (chosen.endpointId ?? "") && endpoints.length > 1;
      choose(element.querySelector("a"), isChosen, "true");
    },
  );
}

function newEndpoint(endpoint) {
  return el(
    "li",
    {},
    el(
      "a",
      { href: `#/endpoint/${endpoint.id}` },
      el("strong", { class: "name" }),
      el("span", { class: "id" }, endpoint.id),
      el("span", { class: "image" }),
      el("span", { class: "counts jobs-count" }),
      el("span", { class: "counts workers-count" }),
    ),
    copyButton(endpoint.id, "id of the endpoint", "copy id"),
  );
}

function updateEndpoint(element, { name, image, jobs, workers }) {
  setText(element.querySelector(".name"), name);
  setText(element.querySelector(".image"), image);
  const told = [
    [jobs.inQueue, "in queue"],
    [jobs.inProgress, "in progress"],
    [jobs.completed, "completed"],
    [jobs.failed, "failed"],
    [jobs.retried, "retried"],
  ].filter(([number]) => number > 0);
  const words = told.map(([number, what]) => `${number.toLocaleString("en")} ${what}`).join(" · ");
  setText(element.querySelector(".jobs-count"), words || "no jobs");
  const states = Object.entries(workers).map(([each, number]) => `${number} ${each}`);
  setText(element.querySelector(".workers-count"), `workers: ${states.join(", ") || "none"}`);
}

function showWorkers({ endpoints, workers }, chosen) {
  const names = new Map(endpoints.map((each) => [each.id, each.name]));
  const wanted = workers.filter(
    (each) => !chosen.endpointId || each.endpointId === chosen.endpointId,
  );
  keepInStep(
    part("workers"),
    wanted,
    (each) => each.id,
    (each) =>
      el(
        "li",
        {},
        el(
          "a",
          { href: `#/worker/${each.id}`, class: "row worker" },
          el("span", { class: "state" }),
          el("span", { class: "id" }, each.id),
          el("span", { class: "what" }),
          el("span", { class: "age", "data-from": each.startedAt, "data-says": "up #" }),
        ),
      ),
    (element, each) => {
      const link = element.firstElementChild;
      showState(link.querySelector(".state"), each.state, each.leaving ? ", leaving" : "");
      const name = names.get(each.endpointId) ?? each.endpointId;
      const jobs = each.jobCount ? ` · ${count(each.jobCount, "job")}` : "";
      setText(link.querySelector(".what"), name + jobs);
      link.querySelector(".age").dataset.from = each.startedAt;
      choose(link, link.getAttribute("href") === chosen.address, "page");
    },
  );
  part("no-workers").hidden = wanted.length > 0;
  setText(part("no-workers"), "None yet. They come with the first job.");
}

function showJobs(endpoints, chosen) {
  const wanted = endpoints.filter((each) => !chosen.endpointId || each.id === chosen.endpointId);
  const jobs = wanted.flatMap((each) =>
    each.latest.map((job) => ({ ...job, endpoint: each.name })),
  );
  jobs.sort((one, other) => other.createdAt - one.createdAt);
  const title = chosen.endpointId && wanted.length ? `Jobs of ${wanted[0].name}` : "Jobs";
  setText(part("jobs-title"), title);
  keepInStep(part("jobs"), jobs, addressOfJob, newJob, (element, job) => {
    updateJob(element.firstElementChild, job, endpoints.length > 1);
    choose(element.firstElementChild, addressOfJob(job) === chosen.address, "page");
  });
  showEmptiness(wanted, jobs);
}

function showEmptiness(wanted, jobs) {
  const empty = part("no-jobs");
  empty.hidden = jobs.length > 0;
  if (jobs.length === 0) {
    const words = wordsFor(wanted);
    if (empty.dataset.says !== words) {
      empty.dataset.says = words;
      empty.replaceChildren(el("p", {}, words), command(TRY_IT));
    }
  }
  const older = part("older-jobs");
  older.hidden = !wanted.some((each) => each.hasOlder);
  setText(older, "Older ones are not listed; the endpoint counts them all.");
}

/** What an empty list of jobs means. */
function wordsFor(endpoints) {
  if (endpoints.length === 0) return "No endpoints yet. This makes one and sends it a job:";
  const hadSome = endpoints.some(({ jobs }) => jobs.completed + jobs.failed > 0);
  if (hadSome) return "No jobs any more: results are kept for 30 minutes. Send another one:";
  return "No jobs yet. Send one:";
}

function newJob(job) {
  return el(
    "li",
    {},
    el(
      "a",
      { href: addressOfJob(job), class: "row job" },
      el("span", { class: "state" }),
      el("span", { class: "id" }, job.id),
      el("span", { class: "what" }),
      el("span", { class: "age", "data-from": job.createdAt, "data-says": "# ago" }),
    ),
  );
}

function updateJob(link, job, isNamed) {
  showState(link.querySelector(".state"), job.status, job.place ? `, place ${job.place}` : "");
  setText(
    link.querySelector(".what"),
    [...(isNamed ? [job.endpoint] : []), ...timesOf(job)].join(" · "),
  );
  const progress = readProgress(job.progress ?? null);
  showProgress(link, progress);
}

/** How long a job waited and ran, as far as that is known. */
export function timesOf(job) {
  const told = [];
  if (job.startedAt !== null) {
    told.push(`waited ${duration(job.startedAt - job.queuedAt)}`);
    if (FINAL.has(job.status)) told.push(`ran ${duration(job.finishedAt - job.startedAt)}`);
  }
  if (job.retries) told.push(job.retries === 1 ? "1 retry" : `${job.retries} retries`);
  return told;
}

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

function choose(link, isChosen, value) {
  if (isChosen) link.setAttribute("aria-current", value);
  else link.removeAttribute("aria-current");
}
