/** What is to be known of a job beside its input and output. */

import { el } from "./dom.js";
import { duration, moment } from "./words.js";

const USUAL_TTL_MS = 24 * 3600 * 1000;

/**
 * @typedef {Object} Fact
 * @property {string} name
 * @property {string} text What it says; two facts that say the same are the same.
 * @property {HTMLElement} [view] How it says that, if not as text.
 */

/**
 * @param {any} job
 * @returns {Fact[]}
 */
export function factsOf(job) {
  return [...placesOf(job), ...timesOf(job), ...wishesOf(job)];
}

function* placesOf({ endpointId, workerId }) {
  yield link("Endpoint", endpointId, `#/endpoint/${endpointId}`);
  if (workerId) yield link("Worker and log", workerId, `#/worker/${workerId}`);
}

function* timesOf({ createdAt, queuedAt, startedAt, finishedAt, forgottenAt, status, retries }) {
  yield { name: "Submitted", text: moment(createdAt) };
  if (queuedAt !== createdAt) yield { name: "Queued again", text: moment(queuedAt) };
  if (status === "IN_QUEUE") yield live("Delay", "waits for #", queuedAt);
  if (startedAt !== null) yield { name: "Delay", text: duration(startedAt - queuedAt) };
  if (status === "IN_PROGRESS") yield live("Execution", "runs for #", startedAt);
  if (finishedAt !== null) {
    if (startedAt !== null) yield { name: "Execution", text: duration(finishedAt - startedAt) };
    yield { name: "Kept until", text: moment(forgottenAt) };
  }
  if (retries > 0) yield { name: "Retries", text: String(retries) };
}

function* wishesOf({ policy, webhook, hasBucket }) {
  if (policy.executionTimeout > 0) {
    yield { name: "Execution timeout", text: duration(policy.executionTimeout / 1000) };
  }
  if (policy.ttl !== USUAL_TTL_MS)
    yield { name: "Time to live", text: duration(policy.ttl / 1000) };
  if (policy.lowPriority) yield { name: "Priority", text: "low" };
  if (webhook) yield { name: "Webhook", text: String(webhook) };
  if (hasBucket) yield { name: "Bucket", text: "its own; the keys are not shown" };
}

function link(name, text, href) {
  return { name, text, view: el("a", { href }, text) };
}

/** A fact in whose words `#` is the time that has passed; `showTimes` keeps them true. */
function live(name, says, from) {
  return {
    name,
    text: `${says} ${from}`,
    view: el("span", { "data-from": from, "data-says": says }),
  };
}
