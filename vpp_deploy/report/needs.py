"""What a report needs, before any of it is imported."""

from __future__ import annotations

from vpp_deploy.errors import DependencyError


def require() -> None:
    """See that what draws and what writes the page is installed.

    Raises:
        DependencyError: it is not.
    """
    try:
        import jinja2  # noqa: F401
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise DependencyError(
            f"{error.name} is not installed, and a report needs it; install it with: pip install 'vpp-deploy[report]'"
        ) from error
