/** The list of jobs: those that run, those that wait, and those that have ended. */

import { command, el, keepInStep, part, setText } from "./dom.js";
import { readProgress } from "./progress.js";
import { choose, showProgress, showState } from "./rows.js";
import { duration } from "./words.js";

const TRY_IT = "runpodctl-py submit --task text_processing --local";

const GROUP_OF = { IN_PROGRESS: "running", IN_QUEUE: "queued", COMPLETED: "completed" };
const groupOf = (job) => GROUP_OF[job.status] ?? "failed";
const isFinal = (job) => !["running", "queued"].includes(groupOf(job));

/** The address of a job's detail. */
export const addressOfJob = (job) => `#/job/${job.endpointId}/${job.id}`;

/**
 * Shows the jobs of all endpoints, or of the chosen one.
 * @param {any[]} endpoints
 * @param {{endpointId: string|null, group: string, address: string}} chosen
 */
export function showJobs(endpoints, chosen) {
  const wanted = endpoints.filter((each) => !chosen.endpointId || each.id === chosen.endpointId);
  const all = wanted.flatMap((each) => each.latest.map((job) => ({ ...job, endpoint: each.name })));
  const jobs = all.filter((each) => !chosen.group || groupOf(each) === chosen.group);
  jobs.sort(inOrder);
  const title = chosen.endpointId && wanted.length ? `Jobs of ${wanted[0].name}` : "Jobs";
  setText(part("jobs-title"), title);
  showGroups(wanted, all, chosen);
  keepInStep(part("jobs"), jobs, addressOfJob, newJob, (element, job) => {
    updateJob(element.firstElementChild, job, endpoints.length > 1);
    choose(element.firstElementChild, addressOfJob(job) === chosen.address, "page");
  });
  showEmptiness(wanted, jobs, chosen.group);
}

/**
 * Lets the person choose which jobs are listed.
 * @param {(group: string) => void} listener Called with "" for all.
 */
export function listenToGroups(listener) {
  part("groups").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) listener(button.dataset.group);
  });
}

/** What runs, what is next, what has ended; within these the latest, or the next, first. */
function inOrder(one, other) {
  return keysOf(one).reduce((told, key, at) => told || key - keysOf(other)[at], 0);
}

function keysOf(job) {
  if (isFinal(job)) return [2, -job.finishedAt, 0];
  if (job.status === "IN_PROGRESS") return [0, -job.startedAt, 0];
  return [1, job.place ?? Number.MAX_SAFE_INTEGER, job.queuedAt];
}

/** Says how many there are of each: of those that run or wait all, of the others those listed. */
function showGroups(endpoints, jobs, chosen) {
  const numbers = { running: 0, queued: 0, completed: 0, failed: 0 };
  for (const each of jobs) if (isFinal(each)) numbers[groupOf(each)] += 1;
  for (const each of endpoints) {
    numbers.running += each.jobs.inProgress;
    numbers.queued += each.jobs.inQueue;
  }
  numbers[""] = numbers.running + numbers.queued + numbers.completed + numbers.failed;
  part("groups").hidden = jobs.length === 0 && !chosen.group;
  for (const button of part("groups").children) {
    const group = button.dataset.group;
    button.setAttribute("aria-pressed", String(group === chosen.group));
    setText(button.querySelector(".number"), numbers[group].toLocaleString("en"));
  }
}

function showEmptiness(wanted, jobs, group) {
  const empty = part("no-jobs");
  empty.hidden = jobs.length > 0;
  if (jobs.length === 0) {
    const words = group ? "None at the moment." : wordsFor(wanted);
    if (empty.dataset.says !== words) {
      empty.dataset.says = words;
      empty.replaceChildren(el("p", {}, words), ...(group ? [] : [command(TRY_IT)]));
    }
  }
  const more = part("more-jobs");
  more.hidden = !wanted.some((each) => each.hasMore);
  setText(more, "There are more than are listed; the endpoint counts them all.");
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
function timesOf(job) {
  const told = [];
  if (job.startedAt !== null) {
    told.push(`waited ${duration(job.startedAt - job.queuedAt)}`);
    if (isFinal(job)) told.push(`ran ${duration(job.finishedAt - job.startedAt)}`);
  }
  if (job.retries) told.push(job.retries === 1 ? "1 retry" : `${job.retries} retries`);
  return told;
}
