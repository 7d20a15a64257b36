/** The overview: endpoints, workers and jobs, kept in step with what the emulator tells. */

import { copyButton, el, keepInStep, part, setText } from "./dom.js";
import { showJobs } from "./jobs.js";
import { choose, showState } from "./rows.js";
import * as time from "./time.js";
import { count, roughly } from "./words.js";

const FEW_FAULTS = 2;

/**
 * Shows it all.
 * @param {any} shown What the emulator told last.
 * @param {{endpointId: string|null, group: string, address: string}} chosen Whose jobs, which of
 *     them, and what is open.
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

/** A few faults are named at once; many are counted, and named when that is unfolded. */
function showFaults(faults) {
  const [details, summary] = [part("faults-part"), part("faults-count")];
  const areMany = faults.length > FEW_FAULTS;
  if (!areMany) details.open = true;
  else if (summary.hidden) details.open = false;
  summary.hidden = !areMany;
  details.hidden = faults.length === 0;
  setText(summary, count(faults.length, "fault"));
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
