"""Runs commands one after the other in this process, whatever each exits with.

many_commands.py COMMANDS, as a list of lists in JSON
"""

import json
import sys
import traceback

from runpodctl_py.cli.app import main

for arguments in json.loads(sys.argv[1]):
    try:
        main(arguments)
    except SystemExit:
        pass
    except BaseException:  # noqa: BLE001 - the next one comes all the same.
        traceback.print_exc()
