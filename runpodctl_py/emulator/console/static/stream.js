/** Following the emulator's streams of server-sent events. */

const RETRY_MS = 700;

/**
 * @typedef {Object} Listener
 * @property {(data: any, name: string) => void} message An event came.
 * @property {() => void} [opened] The stream begins, for the first time or anew.
 * @property {() => void} [lost] The stream broke off; it will be tried again.
 * @property {(status: number) => void} [refused] There is no such stream, or not for us.
 */

/**
 * Follows a stream, anew whenever it breaks off. It rests while nobody can see the page: a browser
 * has six connections for all of its tabs.
 * @param {string} path
 * @param {Listener} listener
 * @returns {() => void} Ends it.
 */
export function follow(path, listener) {
  let ending = new AbortController();
  const start = () => {
    ending = new AbortController();
    run(path, listener, ending.signal);
  };
  const turn = () => (document.hidden ? ending.abort() : start());
  document.addEventListener("visibilitychange", turn);
  if (!document.hidden) start();
  return () => {
    document.removeEventListener("visibilitychange", turn);
    ending.abort();
  };
}

async function run(path, listener, signal) {
  while (!signal.aborted) {
    const response = await unlessLost(fetch(path, { signal, cache: "no-store" }));
    if (signal.aborted) return;
    if (response && response.status >= 400 && response.status < 500) {
      listener.refused?.(response.status);
      return;
    }
    if (response?.ok) {
      listener.opened?.();
      await read(response.body, listener.message);
    }
    if (signal.aborted) return;
    listener.lost?.();
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

/** What comes over the network; null if the connection breaks off, or is ended. */
async function unlessLost(coming) {
  try {
    return await coming;
  } catch {
    return null;
  }
}

/** Reads events to the end of a body. */
async function read(body, message) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let parts = [];
  for (;;) {
    const { value, done } = (await unlessLost(reader.read())) ?? { done: true };
    if (done) return;
    if (!value.includes("\n")) {
      parts.push(value);
      continue;
    }
    // Joined only now: a large event comes in hundreds of pieces.
    const events = (parts.join("") + value).split("\n\n");
    parts = [events.pop()];
    for (const event of events) tell(event, message);
  }
}

function tell(event, message) {
  let name = "message";
  let data = null;
  for (const line of event.split("\n")) {
    if (line.startsWith("data: ")) data = line.slice(6);
    else if (line.startsWith("event: ")) name = line.slice(7);
  }
  if (data === null) return;
  try {
    message(JSON.parse(data), name);
  } catch (error) {
    // A mistake of this page, not of the connection: the next event may well be shown.
    reportError(error);
  }
}
