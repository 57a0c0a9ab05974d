"""MSRP: messages and files over connections (RFC 4975), and what a relay needs of it (RFC 4976).

Theory of operation: octets come in pieces of any size and leave as events, so a message of any size passes
through constant memory::

    Reader.feed(octets) -> [Head, bytes, bytes, …, End, Head, End, …]

A ``Head`` is a request or a response with all its header fields; the octets after it are its body as they
come; an ``End`` has the flag of its end-line. There is no I/O and no time in here. What a relay does with
it is in ``sansip.modules.msrp``.
"""

from sansip.msrp.byte_range import ByteRange
from sansip.msrp.errors import MsrpError
from sansip.msrp.head import ABORTED, COMPLETE, CONTINUED, End, Head
from sansip.msrp.reader import Reader
from sansip.msrp.uri import MsrpUri

__all__ = ["ABORTED", "COMPLETE", "CONTINUED", "ByteRange", "End", "Head", "MsrpError", "MsrpUri", "Reader"]
