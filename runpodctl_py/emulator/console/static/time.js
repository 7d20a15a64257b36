/** What time it is on the local RunPod, which may stand still or be ahead. */

import { duration, moment } from "./words.js";

let reading = { now: Date.now() / 1000, ahead: 0, frozen: false };
let readAt = performance.now();

/** Takes what the emulator's clock shows now. */
export function set(clock) {
  reading = clock;
  readAt = performance.now();
}

/** The time there, in seconds since 1970. */
export function now() {
  return reading.frozen ? reading.now : reading.now + (performance.now() - readAt) / 1000;
}

/** What is to be known of the time there; empty if it is that of the machine. */
export function remark() {
  if (reading.frozen) return `time stands still at ${moment(reading.now)}`;
  const apart = Math.abs(Math.round(reading.ahead * 10) / 10);
  if (apart < 1) return "";
  return `time is ${duration(apart)} ${reading.ahead > 0 ? "ahead" : "behind"}`;
}
