"""`python -m vpp_deploy`: the command line."""

import sys

from vpp_deploy.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
