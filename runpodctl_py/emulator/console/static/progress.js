/** Reading how far a job is, from whatever its worker sends: the shapes that workers use. */

const TEXT_KEYS = ["current_step", "message", "stage", "status", "step_name", "text"];
const LONGEST_TEXT = 200;

/**
 * @param {any} update
 * @returns {{percent: number|null, text: string|null, step: number|null, total: number|null}|null}
 *     What can be shown of it; null if there is nothing in it.
 */
export function readProgress(update) {
  if (typeof update === "string") return fromText(update);
  if (isObject(update)) return fromObject(update);
  const number = numberIn(update);
  return number === null ? null : { percent: percent(number), text: null, step: null, total: null };
}

function fromText(update) {
  if (update.trimStart().startsWith("{")) {
    try {
      return fromObject(JSON.parse(update));
    } catch {
      // No JSON after all: it is words.
    }
  }
  const text = oneLine(update);
  return text && { percent: null, text, step: null, total: null };
}

function fromObject(update) {
  const data = update.data;
  if (isObject(data) && "value" in data && "max" in data) {
    update = { step: data.value, total_steps: data.max, message: data.node };
  }
  const step = numberIn("step" in update ? update.step : update.value);
  const total = numberIn("total_steps" in update ? update.total_steps : update.max);
  const given = numberIn("progress" in update ? update.progress : update.percent);
  let share = given === null ? null : percent(given);
  if (share === null && step !== null && total) share = percent((100 * step) / total);
  const text = TEXT_KEYS.map((key) => oneLine(update[key])).find((each) => each) ?? null;
  if (share === null && text === null && step === null) return null;
  return {
    percent: share,
    text,
    step: step === null ? null : Math.trunc(step),
    total: total === null ? null : Math.trunc(total),
  };
}

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function numberIn(value) {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

function percent(number) {
  return Math.min(Math.max(0, number), 100);
}

function oneLine(value) {
  if (typeof value !== "string") return null;
  const text = value.replace(/[\p{C}\p{Z}]+/gu, " ").trim();
  return [...text].slice(0, LONGEST_TEXT).join("") || null;
}
