"""DNS records for the virtual network: the answers of name servers (RFC 1035, RFC 3263).

Theory of operation: a ``Zone`` is called with the octets of a query and returns those
of the reply, so it can be a network's ``name_server``. Replies are made by
dnspython's encoder. A test may change it while time passes: servers get silent,
records disappear.
"""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["Zone"]

# Types whose data ends in a name; without a dot at its end it is meant as it stands.
_NAMED = ("CNAME", "NAPTR", "SRV")


class Zone:
    """Records, one on a line: name, type, data, as in ``_sip._udp.gw.test SRV 1 0 5060 one.gw.test``.

    Attributes:
        silent: names whose queries get no reply.
        failing: names whose queries get SERVFAIL.
        ttl: seconds that every record may be kept.
        asked: (name, type) of every query that came.

    Raises ``ValueError`` for a line that is no record.
    """

    def __init__(self, text: str = "", ttl: int = 60) -> None:
        self.silent: set[str] = set()
        self.failing: set[str] = set()
        self.ttl = ttl
        self.asked: list[tuple[str, str]] = []
        self._records: dict[tuple[str, str], list[str]] = {}
        for line in text.splitlines():
            if line.strip():
                self.add(line)

    def add(self, line: str) -> None:
        """Add a record."""
        import dns.exception
        import dns.rrset

        words = line.split(None, 2)
        if len(words) < 3:
            raise ValueError(f"expected `name type data`, found {line.strip()!r}")
        name, kind, data = words[0].rstrip(".").lower(), words[1].upper(), words[2].strip()
        if kind in _NAMED:
            data = data.rstrip(".") + "."
        try:
            dns.rrset.from_text(f"{name}.", self.ttl, "IN", kind, data)
        except (dns.exception.DNSException, ValueError) as error:
            raise ValueError(f"{line.strip()!r} is no record: {error}") from None
        self._records.setdefault((name, kind), []).append(data)

    def remove(self, name: str, kind: str) -> None:
        """Remove the records of ``name`` and ``kind``; harmless where there are none."""
        self._records.pop((name.rstrip(".").lower(), kind.upper()), None)

    def __call__(self, query: bytes) -> bytes | None:
        """Return the reply to ``query``, None for silence."""
        import dns.message
        import dns.rcode
        import dns.rdatatype
        import dns.rrset

        message = dns.message.from_wire(query)
        question = message.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind))
        if name in self.silent:
            return None
        reply = dns.message.make_response(message, recursion_available=True)
        if name in self.failing:
            reply.set_rcode(dns.rcode.SERVFAIL)
            return reply.to_wire()
        for owner, found, data in self._answers(name, kind):
            # A set for each record, for the encoder shuffles those of one.
            reply.answer.append(dns.rrset.from_text(f"{owner}.", self.ttl, "IN", found, data))
        if not reply.answer and not any(owner == name for owner, _ in self._records):
            reply.set_rcode(dns.rcode.NXDOMAIN)
        return reply.to_wire()

    def _answers(self, name: str, kind: str) -> Iterator[tuple[str, str, str]]:
        """Yield what answers: aliases, each once, and the records that they lead to."""
        passed: set[str] = set()
        while kind != "CNAME" and name not in passed and (alias := self._records.get((name, "CNAME"))):
            passed.add(name)
            yield name, "CNAME", alias[0]
            name = alias[0].rstrip(".").lower()
        for data in self._records.get((name, kind), ()):
            yield name, kind, data
