/**
 * Recognising what a string in a job's input or output holds, by its first bytes: images, sound,
 * films and text, as data URI or base64, whatever key they stand under.
 */

const SHORTEST = 40;
const LONGEST_TEXT = 400_000;
const BASE64 = /^[A-Za-z0-9+/\s]+={0,2}\s*$/;
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

/** Every content in a JSON value, with the path that leads to it. */
export function* contentsOf(value, path = "") {
  if (typeof value === "string") {
    const content = recognise(value);
    if (content) yield { path, content };
  } else if (Array.isArray(value)) {
    for (const [index, each] of value.entries()) yield* contentsOf(each, `${path}[${index}]`);
  } else if (typeof value === "object" && value !== null) {
    for (const [key, each] of Object.entries(value)) {
      yield* contentsOf(each, path ? `${path}.${key}` : key);
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
  const head = BASE64.test(string.slice(0, 32)) ? decoded(string.slice(0, 32)) : null;
  if (!head || !BASE64.test(string)) return null;
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

function decoded(base64) {
  try {
    return Uint8Array.from(atob(base64), (each) => each.charCodeAt(0));
  } catch {
    return null;
  }
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
