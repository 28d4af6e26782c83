"""Many streams over one engine."""

from vpp_deploy.serving.pool import PoolStatistics, SessionPool

__all__ = ["PoolStatistics", "SessionPool"]
