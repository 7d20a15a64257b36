"""How a finished job looks: its files, its times, its cost; or its output where there are none.

Owns the final lines and the final JSON event. The error that goes with a failure is printed by
whoever catches it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from runpodctl_py.cli.output import bytes_text, paint, printable, seconds_text, usd_text

if TYPE_CHECKING:
    from runpodctl_py.cli.context import Context
    from runpodctl_py.jobs.collect import Summary
    from runpodctl_py.jsontypes import JsonObject, JsonValue


class ResultView:
    """Shows what came of one job.

    Args:
        context: Where to show it.
        endpoint_id: Where it ran.
        saves: Whether files were to be written.
        name: What the last line begins with, where several jobs are shown.
        has_told: Whether the text of its output was told while it was made.
    """

    def __init__(
        self,
        context: Context,
        endpoint_id: str,
        *,
        saves: bool,
        name: str | None = None,
        has_told: bool = False,
    ) -> None:
        self._output = context.output
        self._is_local = context.settings.is_local
        self._endpoint_id = endpoint_id
        self._saves = saves
        self._name = name
        self._has_told = has_told

    def show(self, summary: Summary, elapsed_s: float) -> None:
        """Show it, in the form that fits the surroundings."""
        if self._output.as_json:
            self._output.event(finished_event(summary, self._endpoint_id))
            return
        for warning in summary.warnings:
            self._output.warn(warning)
        if self._saves:
            self._show_files(summary)
        wants_output = not summary.files and not self._has_told
        if wants_output and (summary.error is None or not self._saves):
            self._show_output(summary)
        self._show_times(summary, elapsed_s)

    def _show_files(self, summary: Summary) -> None:
        for file in summary.files:
            if sys.stdout.isatty():
                mark = paint("✓", "green", sys.stdout)
                size = paint(bytes_text(file.size_bytes), "dim", sys.stdout)
                print(f"{mark} {printable(str(file.path))}   {size}", flush=True)
            else:
                self._output.result(str(file.path))

    def _show_output(self, summary: Summary) -> None:
        if summary.text is not None and self._saves:
            self._output.result(summary.text.rstrip("\n"))
        elif isinstance(summary.output, str):
            self._output.result(summary.output)
        elif summary.output is not None:
            self._output.document(summary.output)

    def _show_times(self, summary: Summary, elapsed_s: float) -> None:
        job, parts = summary.job, []
        if job.delay_ms is not None:
            parts.append(f"queued {seconds_text(job.delay_ms / 1000)}")
        if job.execution_ms is not None:
            parts.append(f"ran {seconds_text(job.execution_ms / 1000)}")
        if summary.cost_usd is not None and not self._is_local:
            parts.append(f"about {usd_text(summary.cost_usd)}")
        if self._output.draws and self._name is None:
            self._output.note()
            self._output.note(f"  {' · '.join(parts)}")
            if summary.manifest is not None:
                self._output.note(f"  details: {summary.manifest}", style="dim")
            return
        word = "done" if summary.error is None else job.status.value.lower()
        name = f"{self._name}  " if self._name else ""
        files = ", ".join(f"{f.path} ({bytes_text(f.size_bytes)})" for f in summary.files)
        self._output.note(
            f"{name}{word:<10} after {seconds_text(elapsed_s)}{': ' if files else ''}{files}"
            f"{''.join(f', {part}' for part in parts)}"
        )


def finished_event(summary: Summary, endpoint_id: str) -> JsonObject:
    """Return the last event of a stream; its keys are a promise to scripts."""
    job = summary.job
    files: list[JsonValue] = [
        {
            "path": str(file.path),
            "bytes": file.size_bytes,
            "sha256": file.sha256,
            "content_type": file.content_type,
        }
        for file in summary.files
    ]
    return {
        "event": "finished",
        "id": job.job_id,
        "endpoint_id": endpoint_id,
        "status": job.status.value,
        "delay_ms": job.delay_ms,
        "execution_ms": job.execution_ms,
        "cost_usd": summary.cost_usd,
        "worker_id": job.worker_id,
        "files": files,
        "manifest": str(summary.manifest) if summary.manifest else None,
        "warnings": [*summary.warnings],
        "error": summary.error.message if summary.error else None,
        "output": summary.output,
        "text": summary.text,
    }
