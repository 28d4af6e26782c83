"""The entry point: what signals do from the first moment, what becomes of errors, and the exit status.

Nothing heavy is imported before signals are handled.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from vpp_deploy.files import interrupts


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: without the program's name; None takes those of the process.

    Returns:
        The exit status, see `ExitCode`; 128 and the signal's number after Ctrl-C, SIGTERM or SIGHUP. It is that of the
        work, whatever becomes of what is printed.
    """
    with interrupts.handled():
        from vpp_deploy.cli.run import run
        from vpp_deploy.terminal.streams import lasting

        try:
            with lasting():
                return run(list(sys.argv[1:] if arguments is None else arguments))
        except interrupts.Interrupted as error:  # the work was done, and its outcome being printed
            return error.status
