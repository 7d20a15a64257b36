"""What an output or an error says to a person: LLM text, hidden failures, the worker's exception.

Owns the forms in which workers put words. Files in an output are found by `outputs.py`.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runpodctl_py.jobs.tree import Node, where

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from runpodctl_py.jsontypes import JsonObject, JsonValue

NO_REASON = "the worker gave no reason"

_MESSAGE_KEYS = ("error_message", "message", "msg", "detail", "reason", "error", "result")
_TYPE_KEYS = ("error_type", "type", "code")
_TRACEBACK_KEYS = ("error_traceback", "traceback", "trace", "stacktrace")
_DETAIL_KEYS = ("details", "detail", "errors")
_FAILED_STATUSES = frozenset({"error", "failed", "failure"})
_TEXT_KEYS = (
    "transcription",
    "generated_text",
    "text",
    "transcript",
    "translation",
    "response",
    "answer",
    "content",
    "message",
    "result",
    "output",
)
# `ast.literal_eval` costs much memory a character, and no worker's error dict is longer.
_LONGEST_REPR = 16 * 1024
_MOST_NESTING = 4
# An output may be a whole file in base64; how a stream begins is known long before that.
_LONGEST_LEAD = 4096
_DATA = "data:"
_BESIDE_DATA = ("event:", "id:", "retry:", ":")
"""What other lines of server-sent events begin with: such a line alone proves nothing."""
_CLASS_REPR = re.compile(r"<class '(?:[\w.<>]*\.)?(\w+)'>")
_LAST_TRACEBACK_LINE = re.compile(r"(?:^|\n)(?:\w+\.)*(\w+)(?::[^\n]*)?\s*$")
_CODE_NAME = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)+")


@dataclass(frozen=True, slots=True)
class WorkerError:
    """Why a job failed, in the worker's own words.

    Args:
        message: What to show; never empty.
        error_type: The exception's class name, or the worker's own code such as
            `validation_error`.
        traceback: The worker's traceback, if it sent one.
        details: More sentences, such as one per broken node of a ComfyUI workflow.
    """

    message: str
    error_type: str | None = None
    traceback: str | None = None
    details: tuple[str, ...] = ()


def worker_error(error: JsonValue, output: JsonValue = None) -> WorkerError:
    """Read the `error` of a FAILED job, in whatever form the worker sent it.

    Forms: the SDK's JSON string (API reference 5.6), the Python repr of a dict (from generators),
    plain text with or without a traceback, an object. Where `error` is a mere code and `output`
    carries the sentence, as with the test worker, the code becomes the type and the sentence the
    message.

    Args:
        error: The job's `error`.
        output: The job's `output`: what remained of the object the handler returned.
    """
    kept = output if isinstance(output, dict) else {}
    read = _read_error(error, 0)
    details = read.details or tuple(_sentences(kept, _DETAIL_KEYS))
    if read.error_type is None and _CODE_NAME.fullmatch(read.message):
        said = _first_text(kept, ("message", "error_message"))
        read = WorkerError(said or read.message, error_type=read.message)
    if read.message == NO_REASON:
        read = WorkerError(_first_text(kept, _MESSAGE_KEYS) or NO_REASON, read.error_type)
    more = tuple(detail for detail in details if detail != read.message)
    return WorkerError(read.message, read.error_type, read.traceback, more)


def failure_at(node: Node) -> str | None:
    """Return what failed here, inside the output of a job that RunPod calls COMPLETED.

    That is `status: "error"`, `success: false`, a `result` that begins with FAILED, an `error` or
    OpenAI's `object: "error"`, of the output as a whole or of one item of a list; and at the root
    also a text that begins with FAILED, the list `errors`, and an error among server-sent events
    (workers reference D, G; only a truthy top-level `error` makes the SDK fail a job).
    """
    if node.parent is None:
        return _failure_of_all(node.value)
    if isinstance(node.step, int) and isinstance(node.value, dict):
        said = _failure_in(node.value)
        return f"{where(node)}: {said}" if said else None
    return None


def is_failed(record: JsonObject) -> bool:
    """Tell whether an object says of itself that it failed, by its `status`."""
    status = record.get("status")
    return isinstance(status, str) and status.lower() in _FAILED_STATUSES


def readable_text(output: JsonValue) -> str | None:
    """Return the text a person wants to read if an output holds no files; None if there is none.

    Understands plain strings, transcriptions, and all forms of worker-vllm's and worker-sglang's
    answers: objects, lists of them, JSON as text, and raw server-sent events cut at any byte
    (workers reference D).
    """
    if isinstance(output, list) and output and all(isinstance(item, str) for item in output):
        output = "".join(map(str, output))
    if isinstance(output, str):
        events = list(_events(output))
        text = _texts(events) if events else _texts(_answers(output))
        return text or (None if events else output or None)
    return _texts(_objects(output))


def is_words(piece: JsonValue) -> bool:
    """Tell whether a piece of a stream is part of a text, even if it adds nothing to it.

    Such as the first piece of OpenAI's form, which only says whose turn it is, and the last, which
    only counts.
    """
    if isinstance(piece, list):
        return bool(piece) and all(map(is_words, piece))
    return isinstance(piece, str) or (isinstance(piece, dict) and "choices" in piece)


class LiveText:
    """The text of a stream, piece by piece, as it should be printed.

    Pieces are strings, the objects of an LLM or lists of these, or server-sent events that were cut
    anywhere (workers reference D); which of them, the first characters tell.
    """

    def __init__(self) -> None:
        self._unread = ""
        self._are_events: bool | None = None

    def feed(self, piece: JsonValue) -> str:
        """Return what a piece adds to the text; empty if it says nothing to a person yet."""
        if isinstance(piece, list):
            return "".join(map(self.feed, piece))
        if not isinstance(piece, str):
            return _object_text(piece) or ""
        if not self._unread and (answers := _answers(piece)):
            return _texts(answers) or ""
        self._unread += piece
        if self._are_events is None:
            self._are_events = _begin_as_events(self._unread)
        match self._are_events:
            case None:
                return ""
            case False:
                text, self._unread = self._unread, ""
                return text
            case True:
                *lines, self._unread = self._unread.split("\n")
                return "".join(map(_line_text, lines))

    def end(self) -> str:
        """Return what is left when nothing more comes."""
        rest, self._unread = self._unread, ""
        return _line_text(rest) if self._are_events else rest


def _begin_as_events(text: str) -> bool | None:
    """Tell whether a stream begins as server-sent events do; None if it is too short to know."""
    for line in text[:_LONGEST_LEAD].lstrip().split("\n"):
        if line.startswith(_DATA):
            return True
        starts = (_DATA, *_BESIDE_DATA)
        if line.strip() and not line.startswith(_BESIDE_DATA):
            return None if any(each.startswith(line) for each in starts) else False
    return None


def _read_error(error: JsonValue, depth: int) -> WorkerError:
    if isinstance(error, str):
        fields = _parse_object(error) if depth < _MOST_NESTING else None
        return _from_text(error) if fields is None else _from_object(fields, depth)
    if isinstance(error, dict):
        return _from_object(error, depth)
    if isinstance(error, list):
        sentences = tuple(_sentences({"all": error}, ("all",)))
        return WorkerError(sentences[0] if sentences else NO_REASON, details=sentences[1:])
    return WorkerError(NO_REASON if error is None else str(error))


def _from_text(text: str) -> WorkerError:
    # A generator that raises: "handler: boom \ntraceback: Traceback …" (API reference 5.5).
    message, _, traceback = text.partition("\ntraceback: ")
    if not traceback and message.startswith("Traceback (most recent call last)"):
        traceback = message
        message = message.strip().rpartition("\n")[2]
    found = _LAST_TRACEBACK_LINE.search(traceback.rstrip()[-_LONGEST_REPR:]) if traceback else None
    return WorkerError(message.strip() or NO_REASON, found[1] if found else None, traceback or None)


def _from_object(fields: JsonObject, depth: int) -> WorkerError:
    nested = fields.get("error")
    if isinstance(nested, dict) and depth < _MOST_NESTING:
        return _read_error(nested, depth + 1)
    error_type = _first_text(fields, _TYPE_KEYS)
    class_name = _CLASS_REPR.fullmatch(error_type) if error_type else None
    message = _first_text(fields, _MESSAGE_KEYS)
    return WorkerError(
        message or _as_json(fields),
        class_name[1] if class_name else error_type,
        _first_text(fields, _TRACEBACK_KEYS),
        tuple(text for text in _sentences(fields, _DETAIL_KEYS) if text != message),
    )


def _parse_object(text: str) -> JsonObject | None:
    """Read a dict from JSON, or from Python's repr of it; None for any other text."""
    text = text.strip()
    if not text.startswith("{"):
        return None
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        value = _parse_repr(text)
    return value if isinstance(value, dict) and all(isinstance(key, str) for key in value) else None


def _parse_repr(text: str) -> Any:
    if len(text) > _LONGEST_REPR:
        return None
    with warnings.catch_warnings():
        # A stray backslash in the worker's words is not worth a warning on the terminal.
        warnings.simplefilter("ignore")
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return None


def _first_text(fields: JsonObject, keys: Iterable[str]) -> str | None:
    for key in keys:
        value = fields.get(key)
        if isinstance(value, str) and value.strip():
            return value.strip()
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
    return None


def _sentences(fields: JsonObject, keys: Iterable[str]) -> Iterator[str]:
    """Yield each text of the first of these keys that holds any."""
    value = next((fields[key] for key in keys if fields.get(key)), None)
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, str) and item.strip():
            yield item.strip()
        elif isinstance(item, dict):
            yield _first_text(item, _MESSAGE_KEYS) or _as_json(item)


def _as_json(fields: JsonObject) -> str:
    try:
        return json.dumps(fields, ensure_ascii=False)
    except RecursionError:
        return NO_REASON


def _failure_of_all(output: JsonValue) -> str | None:
    if isinstance(output, str) and output.startswith("FAILED"):
        return output
    if isinstance(output, list):
        output = "".join(each for each in output if isinstance(each, str))
    if isinstance(output, str):
        return next(filter(None, map(_failure_in, _events(output))), None)
    if not isinstance(output, dict):
        return None
    sentences = [_failure_in(output), *_sentences(output, ("errors",))]
    return "; ".join(dict.fromkeys(filter(None, sentences))) or None


def _failure_in(record: JsonObject) -> str | None:
    error = record.get("error")
    result = record.get("result")
    if isinstance(error, str | dict) and error:
        return worker_error(error, record).message
    if is_failed(record) or record.get("object") == "error" or record.get("success") is False:
        return _first_text(record, _MESSAGE_KEYS) or NO_REASON
    return result if isinstance(result, str) and result.startswith("FAILED") else None


def _object_text(fields: JsonValue) -> str | None:
    if not isinstance(fields, dict) or _is_refusal(fields):
        return None
    choices = fields.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        return _choice_text(choices[0])
    for key in _TEXT_KEYS:
        value = fields.get(key)
        if isinstance(value, str) and value:
            return value
        if isinstance(value, list):
            parts = [part.get("text") for part in value if isinstance(part, dict)]
            if parts and all(isinstance(part, str) for part in parts):
                return "".join(map(str, parts))
    return None


def _choice_text(choice: JsonObject) -> str | None:
    for key in ("message", "delta"):
        part = choice.get(key)
        if isinstance(part, dict) and isinstance(part.get("content"), str):
            return str(part["content"])
    if isinstance(choice.get("text"), str):
        return str(choice["text"])
    tokens = choice.get("tokens")
    return "".join(map(str, tokens)) if isinstance(tokens, list) else None


def _is_refusal(fields: JsonObject) -> bool:
    """Tell whether an object is what OpenAI's API says instead of an answer."""
    error = fields.get("error")
    return fields.get("object") == "error" or (isinstance(error, str | dict) and bool(error))


def _events(stream: str) -> Iterator[JsonObject]:
    """Yield the objects of server-sent events; none if the text is no such stream."""
    if _begin_as_events(stream):
        # Only this ends a line: an answer may hold the other characters that Python takes for ends.
        yield from filter(None, map(_event, stream.split("\n")))


def _event(line: str) -> JsonObject | None:
    """Read a line of server-sent events; None for the others and for their end, `[DONE]`."""
    if not line.startswith(_DATA):
        return None
    return _parse_object(line.removeprefix(_DATA).strip())


def _line_text(line: str) -> str:
    return _object_text(_event(line)) or ""


def _answers(text: str) -> list[JsonObject]:
    """Read lines of JSON that are an LLM's answers; empty if the text is anything else."""
    answers = []
    for line in filter(str.strip, text.split("\n")):
        fields = _parse_object(line) if '"choices"' in line else None
        if fields is None or not isinstance(fields.get("choices"), list):
            return []
        answers.append(fields)
    return answers


def _objects(output: JsonValue) -> Iterator[JsonValue]:
    """Yield the objects of an output: itself, or its items, which may be lists of them."""
    for item in output if isinstance(output, list) else [output]:
        yield from item if isinstance(item, list) else [item]


def _texts(objects: Iterable[JsonValue]) -> str | None:
    return "".join(filter(None, map(_object_text, objects))) or None
