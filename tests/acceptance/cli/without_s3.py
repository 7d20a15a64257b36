"""The command line where the packages of `runpodctl-py[s3]` are not installed."""

from __future__ import annotations

import sys

from runpodctl_py.__main__ import main

sys.modules["obstore"] = None  # type: ignore[assignment]
main()
