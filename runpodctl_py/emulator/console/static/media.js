/**
 * Recognising what a string in a job's input or output holds, by its first bytes: images, sound,
 * films and text, as data URI or base64, whatever key they stand under.
 */

const SHORTEST = 40;
const LONGEST_TEXT = 400_000;
const DATA_URI = /^data:([\w.+-]+\/[\w.+-]+)?(?:;[\w.+-]+(?:=[\w.+"-]+)?)*?(;base64)?,/i;

/**
 * @typedef {Object} Content
 * @property {"image"|"audio"|"video"|"text"} kind
 * @property {string} type Its MIME type.
 * @property {Uint8Array} bytes
 */

/**
 * @param {string} string
 * @returns {Content|null} Null for a string that is only a string.
 */
export function recognise(string) {
  return string.startsWith("data:") ? fromDataUri(string) : fromBase64(string);
}

/** Recognises strings, each only once: some are as large as films. */
export class Recogniser {
  constructor() {
    this.known = new Map();
    this.former = new Map();
  }

  /** Begins with another value; what it shares with the one before is still known. */
  begin() {
    this.former = this.known;
    this.known = new Map();
  }

  /**
   * @param {string} string
   * @returns {Content|null}
   */
  recognise(string) {
    if (string.length < SHORTEST) return recognise(string);
    const known = [this.known, this.former].find((each) => each.has(string));
    const content = known ? known.get(string) : recognise(string);
    this.known.set(string, content);
    return content;
  }

  /** Every content in a JSON value, with the path that leads to it. */
  *contentsOf(value, path = "") {
    if (typeof value === "string") {
      const content = this.recognise(value);
      if (content) yield { path, content };
    } else if (Array.isArray(value)) {
      for (const [index, each] of value.entries()) {
        yield* this.contentsOf(each, `${path}[${index}]`);
      }
    } else if (typeof value === "object" && value !== null) {
      for (const [key, each] of Object.entries(value)) {
        yield* this.contentsOf(each, path ? `${path}.${key}` : key);
      }
    }
  }
}

function fromDataUri(string) {
  const head = DATA_URI.exec(string.slice(0, 300));
  if (!head) return null;
  const type = (head[1] ?? "text/plain").toLowerCase();
  const kind = type.split("/")[0];
  if (!["image", "audio", "video", "text"].includes(kind)) return null;
  const rest = string.slice(head[0].length);
  const bytes = head[2] ? decoded(rest) : unescaped(rest);
  return bytes && { kind, type, bytes };
}

function fromBase64(string) {
  if (string.length < SHORTEST) return null;
  const head = decoded(string.slice(0, 32));
  if (!head) return null;
  const type = typeOf(head);
  if (type) {
    const bytes = decoded(string);
    return bytes && { kind: type.split("/")[0], type, bytes };
  }
  if (string.length > LONGEST_TEXT || !isPlainText(head, true)) return null;
  const bytes = decoded(string);
  return bytes && isPlainText(bytes, false) ? { kind: "text", type: "text/plain", bytes } : null;
}

/** The MIME type that the first bytes tell; null if it is none that a browser shows. */
function typeOf(head) {
  const text = String.fromCharCode(...head);
  if (text.startsWith("\x89PNG")) return "image/png";
  if (text.startsWith("\xff\xd8\xff")) return "image/jpeg";
  if (text.startsWith("GIF8")) return "image/gif";
  if (text.startsWith("RIFF")) {
    return { WEBP: "image/webp", WAVE: "audio/wav" }[text.slice(8, 12)] ?? null;
  }
  if (text.slice(4, 8) === "ftyp") {
    const brand = text.slice(8, 12);
    if (brand === "avif") return "image/avif";
    return brand.startsWith("M4A") ? "audio/mp4" : "video/mp4";
  }
  if (text.startsWith("\x1a\x45\xdf\xa3")) return "video/webm";
  if (text.startsWith("OggS")) return "audio/ogg";
  if (text.startsWith("fLaC")) return "audio/flac";
  if (text.startsWith("ID3") || /^\xff[\xfb\xf3\xf2]/.test(text)) return "audio/mpeg";
  return null;
}

/** The bytes of a base64 text; null if it is none. */
function decoded(base64) {
  let characters;
  try {
    characters = atob(base64);
  } catch {
    return null;
  }
  const bytes = new Uint8Array(characters.length);
  // `Uint8Array.from` takes twenty times as long: seconds, in which the page stands still.
  for (let at = 0; at < bytes.length; at++) bytes[at] = characters.charCodeAt(at);
  return bytes;
}

function unescaped(text) {
  try {
    return new TextEncoder().encode(decodeURIComponent(text));
  } catch {
    return null;
  }
}

/** Whether bytes are readable UTF-8; the first ones of some may end within a character. */
function isPlainText(bytes, isCut) {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes, { stream: isCut });
    return !/[\0-\x08\x0e-\x1f\x7f]/.test(text);
  } catch {
    return false;
  }
}
