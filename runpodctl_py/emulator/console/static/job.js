/** One job in full: what it was given, how it goes, and what came of it. */

import { copyButton, el, setText } from "./dom.js";
import { factsOf } from "./facts.js";
import { jsonView } from "./json.js";
import { longText } from "./long_text.js";
import { Recogniser } from "./media.js";
import { showTimes } from "./overview.js";
import { readProgress } from "./progress.js";
import { showProgress, showState } from "./rows.js";
import { follow } from "./stream.js";
import { bytes } from "./words.js";

const SHOWN_TEXT = 4000;
const MOST_CONTENTS = 40;

/**
 * Shows a job in an element, live.
 * @param {HTMLElement} parent
 * @param {string} endpointId
 * @param {string} jobId
 * @returns {() => void} Ends it.
 */
export function showJob(parent, endpointId, jobId) {
  const view = new JobView(parent, jobId);
  const place = [endpointId, jobId].map(encodeURIComponent).join("/");
  const stop = follow(`/_local/console/jobs/${place}/events`, {
    message(job, name) {
      if (name === "gone") {
        stop();
        view.showGone();
      } else view.show(job);
    },
    refused: () => view.showGone(),
  });
  return () => {
    stop();
    view.release();
  };
}

class JobView {
  constructor(parent, jobId) {
    this.state = el("span", { class: "state" });
    this.facts = el("dl", { class: "facts" });
    this.note = el("p", { class: "empty", hidden: true });
    this.run = el("div", { class: "run" });
    this.parts = new Map();
    this.title = el(
      "p",
      { class: "title-line" },
      this.state,
      el("code", { class: "id" }, jobId),
      copyButton(jobId, "the job's id"),
    );
    parent.append(this.title, this.note, this.run, this.facts);
    for (const name of ["Error", "Output", "Progress", "Input"]) {
      const body = el("div", {});
      const section = el(
        "section",
        { class: "part", "data-part": name, hidden: true },
        el("h3", {}, name),
        body,
      );
      const recogniser = new Recogniser();
      this.parts.set(name, { section, body, told: undefined, urls: [], recogniser });
      parent.append(section);
    }
  }

  show(job) {
    this.note.hidden = true;
    showState(this.state, job.status);
    showProgress(this.run, readProgress(job.progress));
    this.showFacts(job);
    this.fill("Error", job.outcome.error);
    this.fill("Output", job.outcome.output);
    this.fill("Progress", job.progress ?? undefined);
    this.fill("Input", job.input);
  }

  showGone() {
    this.note.hidden = false;
    this.state.dataset.state = "GONE";
    setText(this.state, "gone");
    setText(
      this.note,
      "This job is not there any more: results are kept for 30 minutes, those of runsync for one.",
    );
  }

  /** Lets go of what the browser keeps for the images and sounds. */
  release() {
    for (const { urls } of this.parts.values()) urls.forEach((each) => URL.revokeObjectURL(each));
  }

  showFacts(job) {
    const facts = factsOf(job);
    const told = JSON.stringify(facts.map(({ name, text }) => [name, text]));
    if (told === this.toldFacts) return;
    this.toldFacts = told;
    this.facts.replaceChildren(
      ...facts.map(({ name, text, view }) =>
        el("div", {}, el("dt", {}, name), el("dd", {}, view ?? text)),
      ),
    );
    showTimes();
  }

  fill(name, value) {
    const part = this.parts.get(name);
    const told = JSON.stringify(value);
    if (told === part.told) return;
    part.told = told;
    part.urls.forEach((each) => URL.revokeObjectURL(each));
    part.urls = [];
    part.section.hidden = value === undefined;
    part.body.replaceChildren();
    if (value === undefined) return;
    part.recogniser.begin();
    part.body.append(...contentViews(part.recogniser.contentsOf(value), part.urls));
    if (name === "Error" && typeof value === "string") {
      part.body.append(el("pre", { class: "error", tabindex: "0" }, longText(errorText(value))));
    } else part.body.append(jsonView(value, part.recogniser));
  }
}

/** The SDK reports an exception as JSON in a string: its parts are easier to read. */
function errorText(error) {
  try {
    const {
      error_type: type,
      error_message: message,
      error_traceback: traceback,
    } = JSON.parse(error);
    if (typeof message === "string") {
      return traceback ? String(traceback).trimEnd() : `${type ?? "error"}: ${message}`;
    }
  } catch {
    // Plain words.
  }
  return error;
}

/** Yields views of the first images, sounds, films and texts. */
function* contentViews(contents, urls) {
  let left = MOST_CONTENTS;
  for (const { path, content } of contents) {
    if (left-- === 0) return;
    const caption = el(
      "figcaption",
      {},
      el("code", {}, path || "it"),
      ` ${content.type}, ${bytes(content.bytes.length)}`,
    );
    yield el("figure", { class: content.kind }, contentView(content, path, urls), caption);
  }
}

function contentView(content, path, urls) {
  if (content.kind === "text") {
    const text = new TextDecoder().decode(content.bytes);
    return el("pre", { tabindex: "0" }, longText(text, { first: SHOWN_TEXT }));
  }
  const url = URL.createObjectURL(new Blob([content.bytes], { type: content.type }));
  urls.push(url);
  const name = `${content.kind} in ${path || "the output"}`;
  const view =
    content.kind === "image"
      ? el("img", { src: url, alt: name })
      : el(content.kind, { src: url, controls: true, preload: "metadata", "aria-label": name });
  view.addEventListener("error", () =>
    view.replaceWith(el("p", { class: "empty" }, `This browser cannot show this ${content.type}.`)),
  );
  return view;
}
