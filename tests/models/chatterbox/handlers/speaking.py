"""The worker as its image starts it, but for the size of the transformer."""

from __future__ import annotations

import sys

# Chinese is divided into words by a model from GitHub, which no test may fetch; upstream does
# without where the package is missing.
sys.modules["spacy_pkuseg"] = None  # type: ignore[assignment]

from tests.models.chatterbox.tiny import shrink  # noqa: E402 - after the line above.
from worker.__main__ import main  # noqa: E402

shrink()
main()
