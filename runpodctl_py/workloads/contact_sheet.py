"""A page to look at layers: each by itself, and all of them over one another.

Owns the page. It is one HTML file that shows the PNGs beside it, without a script and without
anything from the network.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Sequence

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
  body {{ margin: 2rem; font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fafafa; }}
  h1 {{ font-size: 1.2rem; font-weight: 600; }}
  main {{
    display: grid; gap: 1.5rem; grid-template-columns: repeat(auto-fill, minmax(16rem, 1fr));
  }}
  figure {{ margin: 0; }}
  figcaption {{ color: #666; overflow-wrap: anywhere; }}
  .sheet {{
    display: grid; background: repeating-conic-gradient(#ddd 0 25%, #fff 0 50%) 0 0 / 20px 20px;
  }}
  .sheet img {{ grid-area: 1 / 1; width: 100%; }}
  @media (prefers-color-scheme: dark) {{
    body {{ color: #ddd; background: #181818; }}
    figcaption {{ color: #999; }}
    .sheet {{ background: repeating-conic-gradient(#333 0 25%, #222 0 50%) 0 0 / 20px 20px; }}
  }}
</style>
<h1>{title}</h1>
<main>
{figures}
</main>
"""
_FIGURE = """  <figure>
    <div class="sheet">{images}</div>
    <figcaption>{caption}</figcaption>
  </figure>"""


def contact_sheet(title: str, names: Sequence[str]) -> str:
    """Return the page for layers.

    Args:
        title: What the layers are of.
        names: The names of their files in the folder of the page, the bottom layer first.
    """
    together = _figure(names, "all together")
    each = [_figure([name], name) for name in names]
    return _PAGE.format(title=escape(title), figures="\n".join([together, *each]))


def _figure(names: Sequence[str], caption: str) -> str:
    images = "".join(
        f'<img src="{escape(quote(name))}" alt="{escape(name, quote=True)}">' for name in names
    )
    return _FIGURE.format(images=images, caption=escape(caption))
