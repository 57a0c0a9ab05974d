"""The proxy core (RFC 3261 16): validation, Route handling, forking, responses."""

from sansip.proxy.budget import inherited
from sansip.proxy.config import ProxyConfig
from sansip.proxy.context import ResponseContext
from sansip.proxy.loop import is_looped, loop_hash
from sansip.proxy.path import PathValue
from sansip.proxy.proxy import Proxy
from sansip.proxy.route_set import postprocess, preprocess
from sansip.proxy.sequence import Shifts
from sansip.proxy.target import Target
from sansip.proxy.validation import Refusal, check_request

__all__ = [
    "PathValue",
    "Proxy",
    "ProxyConfig",
    "Refusal",
    "ResponseContext",
    "Shifts",
    "Target",
    "check_request",
    "inherited",
    "is_looped",
    "loop_hash",
    "postprocess",
    "preprocess",
]
