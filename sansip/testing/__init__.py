"""A virtual network for tests: the real stack, phones, faults, and time that jumps.

See docs/testing.md. No code here waits, or opens a socket.
"""

from sansip.testing.agent import Agent, Dialog
from sansip.testing.bench import ModuleBench, check_module
from sansip.testing.draft import Draft
from sansip.testing.endpoint import Endpoint, Received, TrafficError, fits, understood
from sansip.testing.links import Link
from sansip.testing.network import Network
from sansip.testing.server import Server
from sansip.testing.zone import Zone

__all__ = [
    "Agent",
    "Dialog",
    "Draft",
    "Endpoint",
    "Link",
    "ModuleBench",
    "Network",
    "Received",
    "Server",
    "TrafficError",
    "Zone",
    "check_module",
    "fits",
    "understood",
]
