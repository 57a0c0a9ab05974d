"""Every test of a machine gets a bench, and leaves it empty."""

from tests.transaction.bench import bench

__all__ = ["bench"]
