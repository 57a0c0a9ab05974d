"""Sends the messages of a trace: requests, responses, octets, and repetitions.

Theory of operation: the endpoint's agent (``sansip.testing``) writes a message from the lines of
the trace and from its own state; names are replaced by their values first.
"""

from __future__ import annotations

from importlib import resources

from sansip.testing import Draft, Received
from sansip.wire import Request
from sansip_conformance.credentials import Wallet
from sansip_conformance.names import params_of
from sansip_conformance.octets import body_octets, raw_octets, read_draft
from sansip_conformance.story import Named, Story, TraceFailedError
from sansip_conformance.trace import Block, Send
from sansip_conformance.world import Party

__all__ = ["Sender"]


class Sender:
    """Sends the steps of one story."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.wallet = Wallet(story)

    def send(self, step: Send) -> None:
        """Send the message of ``step``."""
        party = self.story.world.parties[step.source]
        setup = self.story.trace.setup.endpoints[step.source]
        transport = step.transport or setup.transports[0]
        pipe = None
        draft: Draft | None = None
        if step.verb == "connect":
            party.connect(transport if transport != "udp" else "tcp")
            return
        if step.verb == "close":
            party.disconnect()
            return
        if step.verb == "again":
            named = self.story.get(step.to or "", step.line)
            data, transport, pipe = named.data, step.transport or named.transport or transport, named.pipe
        elif step.verb == "raw":
            data = self._raw(step)
            draft = read_draft(data)
            party.agent.sent(draft)
        elif step.verb == "response":
            draft, came = self._response(step, party, transport)
            data = draft.to_bytes()
            if step.transport is None:
                transport, pipe = came.transport, came.pipe
        else:
            draft = self._request(step, party, transport)
            data = draft.to_bytes()
        if step.name is not None and draft is not None:
            self.story.name(step.name, Named(draft, step.source, None, data, transport, pipe))
        if draft is not None and draft.is_request and draft.method == "REGISTER":
            aor = params_of(draft.get("to") or "")[0].rpartition("<")[2].rstrip(">")
            self.story.registered[aor] = step.source
        self.story.note_sent(step.source, data)
        if step.split:
            pipe = pipe or party.connect(transport)
            for at in range(0, len(data), step.split):
                party.send(data[at : at + step.split], transport=transport, pipe=pipe)
        else:
            party.send(data, transport=transport, pipe=pipe)

    def _request(self, step: Send, party: Party, transport: str) -> Draft:
        headers, without, body = self._block(step.block)
        uri = None if step.uri is None else self.story.names.expand(step.uri)
        of = self.story.get(step.to, step.line).message if step.to is not None else None
        if isinstance(of, Request):
            raise ValueError(
                f"{step.to} is a request that was received; `of` names an INVITE sent or a response"
            )
        draft = party.agent.request(
            step.what,
            uri,
            headers,
            without=without,
            body=body,
            transport=transport,
            in_dialog=step.in_dialog,
            of=of,
        )
        for line in step.block.lines:
            if line.kind == "credentials":
                draft.headers += self.wallet.answer(line, party, step.what, draft.uri, body)
        return draft

    def _response(self, step: Send, party: Party, transport: str) -> tuple[Draft, Received]:
        request: Request | None = None
        if step.to is not None:
            named = self.story.get(step.to, step.line)
            came = named.received
            if isinstance(named.message, Request):
                request = named.message
        else:
            request = party.agent.last_request
            came = next((one for one in reversed(party.inbox) if one.message is request), None)
        if request is None or came is None:
            raise ValueError(f"{party.name} has received no request to answer; expect one first")
        headers, without, body = self._block(step.block)
        reason = None if step.reason is None else self.story.names.expand(step.reason)
        draft = party.agent.reply(
            request, int(step.what), reason, headers, without=without, body=body, transport=transport
        )
        return draft, came

    def _block(self, block: Block) -> tuple[list[tuple[str, str]], list[str], bytes]:
        headers = []
        without = []
        for one in block.lines:
            if one.kind == "header":
                headers.append((one.name, self.story.names.expand(one.value)))
            elif one.kind == "absent":
                without.append(one.name)
            elif one.kind not in ("comment", "start", "credentials"):
                raise TraceFailedError(
                    one.line, f"`{one.kind}` is for expectations; a message to send has `Name: value`"
                )
        return headers, without, body_octets(self.story.names.expand(block.body or ""))

    def _raw(self, step: Send) -> bytes:
        if step.file is not None:
            data = resources.files("sansip_conformance").joinpath("data", *step.file.split("/")).read_bytes()
            return self.story.world.rewrite_octets(data)
        text = self.story.names.expand(step.block.raw)
        return raw_octets(text)
