"""The name server of a trace with ``dns`` lines: records in, replies out (RFC 1035, RFC 3263).

Theory of operation: replies are made by dnspython's own encoder, which shares nothing
with the reader under test but the codec. A name may be ``silent`` (its queries get no
reply) or ``failing`` (they get SERVFAIL). In the data of an A or AAAA record the name
of an endpoint stands for its address.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

__all__ = ["Zone"]

_TTL = 60


class Zone:
    """All records that there are. ``hosts``: endpoint to address."""

    def __init__(self, records: Iterable[tuple[str, str, str]], hosts: Mapping[str, str]) -> None:
        self._moods: dict[str, str] = {}
        self._records: dict[tuple[str, str], list[str]] = {}
        for name, kind, data in records:
            if kind in ("silent", "failing"):
                self._moods[name] = kind
            else:
                text = hosts.get(data.strip(), data)
                if kind in ("SRV", "NAPTR", "CNAME"):
                    # Targets are written without the dot at the end.
                    text = text.rstrip(".") + "."
                self._records.setdefault((name, kind), []).append(text)

    def answer(self, query: bytes) -> bytes | None:
        """Return the reply to a query, None for silence. Raises ValueError for a record that cannot be."""
        import dns.exception
        import dns.message
        import dns.rcode
        import dns.rdatatype
        import dns.rrset

        asked = dns.message.from_wire(query)
        question = asked.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        mood = self._moods.get(name)
        if mood == "silent":
            return None
        reply = dns.message.make_response(asked, recursion_available=True)
        if mood == "failing":
            reply.set_rcode(dns.rcode.SERVFAIL)
            return reply.to_wire()
        try:
            # As real servers do, aliases that go round are followed once.
            passed: set[str] = set()
            while (alias := self._records.get((name, "CNAME"))) and kind != "CNAME" and name not in passed:
                passed.add(name)
                reply.answer.append(dns.rrset.from_text(f"{name}.", _TTL, "IN", "CNAME", alias[0]))
                name = alias[0].rstrip(".").lower()
            for data in self._records.get((name, kind), ()):
                # A set each, for the encoder shuffles the records of one.
                reply.answer.append(dns.rrset.from_text(f"{name}.", _TTL, "IN", kind, data))
        except dns.exception.DNSException as error:
            raise ValueError(f"cannot read the record {name} {kind}: {error}") from None
        if not reply.answer and not any(owner == name for owner, _ in self._records):
            reply.set_rcode(dns.rcode.NXDOMAIN)
        return reply.to_wire()
