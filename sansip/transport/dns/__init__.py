"""RFC 3263: where a URI leads, found out by asking name servers, without waiting.

``Resolver`` finds records, ``Locator`` makes places to send to of them,
``Avoided`` remembers which of these failed; ``Backups`` finds another way for a response.
"""

from sansip.transport.dns.avoided import Avoided
from sansip.transport.dns.backup import Backups
from sansip.transport.dns.config import DnsConfig
from sansip.transport.dns.locate import Locator
from sansip.transport.dns.records import DnsLookup, LookupFailed, Naptr, Record, Srv
from sansip.transport.dns.resolver import Resolver
from sansip.transport.dns.telephone import enum_domain, enum_uris
from sansip.transport.flow import Place

__all__ = [
    "Avoided",
    "Backups",
    "DnsConfig",
    "DnsLookup",
    "Locator",
    "LookupFailed",
    "Naptr",
    "Place",
    "Record",
    "Resolver",
    "Srv",
    "enum_domain",
    "enum_uris",
]
