"""What RunPod's Hub looks for in a repository; the worker is the package `worker`."""

from worker.__main__ import main

if __name__ == "__main__":
    main()
