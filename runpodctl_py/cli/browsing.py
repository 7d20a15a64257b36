"""Opening a page in the person's browser, where there is one with a window."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def has_browser() -> bool:
    """Tell whether a browser with a window may be there: those in a terminal run no scripts."""
    return not sys.platform.startswith("linux") or any(
        os.environ.get(name) for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY")
    )


def open_page(page: Path) -> bool:
    """Open a file in the browser; tell whether there was one."""
    import webbrowser

    return has_browser() and webbrowser.open(page.absolute().as_uri())
