"""`python -m runpodctl_py` and the `runpodctl-py` script."""

from runpodctl_py.cli.app import main

if __name__ == "__main__":
    main()
