"""What RunPod's Hub looks for in a repository; the images run `python -m worker` instead."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from worker.__main__ import main

if __name__ == "__main__":
    main()
