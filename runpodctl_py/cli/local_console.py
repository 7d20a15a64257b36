"""`local console`: the local RunPod's web console, opened in the browser."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from runpodctl_py.cli import options
from runpodctl_py.cli.browsing import has_browser, open_page
from runpodctl_py.cli.context import run
from runpodctl_py.cli.local_running import found_running, post
from runpodctl_py.cli.output import Output, is_terminal

if TYPE_CHECKING:
    from pathlib import Path

_REDIRECT = """<!doctype html>
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0; url={url}">
<title>local RunPod</title>
<a href="{url}">Go on</a>
"""


def console(
    *,
    no_open: Annotated[
        bool, typer.Option("--no-open", help="Only print the link; open no browser.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Open the web console of the local RunPod: endpoints, workers, jobs and logs, live.

    Prints a link that works once, within a minute; at a terminal it is opened in your browser.

    Examples:
      runpodctl-py local console
      runpodctl-py local console --no-open
    """
    running, output = found_running(), Output(as_json=as_json)
    url = f"{running.url}{run(post(running, 'console/tickets', {}))['path']}"
    if as_json:
        output.document({"url": url})
        return
    output.result(url)
    if not no_open and is_terminal(sys.stdout) and _opened(url):
        output.done("Opened in your browser")
    else:
        output.note("Open it in a browser within a minute; it works once.")


def _opened(url: str) -> bool:
    """Open a browser with a window, if there is one: those in a terminal run no scripts."""
    from runpodctl_py.emulator.data_folder import data_folder

    if not has_browser():
        return False
    try:
        page = _redirect_to(url, data_folder(os.environ))
    except OSError:
        return False
    return open_page(page)


def _redirect_to(url: str, folder: Path) -> Path:
    """Write a page that leads there, for its owner's eyes.

    The link itself must not stand on the browser's command line, which every user of this machine
    can read (`ps`). What is written stays, as the browser comes for it when it likes; a minute
    later it opens nothing any more.
    """
    import html

    from runpodctl_py.emulator.data_folder import write_private

    page = folder / "console.html"
    write_private(page, _REDIRECT.format(url=html.escape(url)))
    return page
