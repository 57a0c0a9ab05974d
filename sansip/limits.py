"""Every limit of the core: its name, its default, and the reason for it.

Theory of operation: nothing a peer sends may grow memory or time without bound, so each size, count and
duration that a peer influences is compared with a field of ``Limits``. The comment beside each limit says
what happens when it is reached, and a test reaches each one (``tests/test_limits.py``).
"""

from __future__ import annotations

from dataclasses import dataclass, fields

__all__ = ["Limits"]


class _Least:
    """The least of several bounds, for heads that are read in brief (``wire.plain_head``)."""

    __slots__ = ("plain_count", "plain_size")

    # Of fields, and of octets of a head.
    plain_count: int
    plain_size: int

    def hold(self, count: int, size: int) -> None:
        self.plain_count, self.plain_size = count, size


@dataclass
class Limits(_Least):
    """Bounds, with safe defaults. Sizes are octets, times are seconds.

    A stack has its own copy, which all of its parts read: ``take`` changes this copy only.
    """

    # A UDP datagram cannot exceed 65,535 octets; streams are held to the same
    # bound so that a message can cross any transport (RFC 3261 18.1.1). → 413
    message_size: int = 65_535
    # Start line and header fields together. A stream on which they do not end within
    # `message_size` is closed, for the framing is not found. → 513
    head_size: int = 32_768
    # A message that is too large is skipped on a stream up to this size, so that the other messages on the
    # stream go on. → close
    skipped_size: int = 1_048_576
    # One header field with its folds: the longest honest ones are Route sets
    # and Identity tokens of a few KiB. → 400
    header_size: int = 16_384
    # Header fields of one message; honest ones have below 60. → 400
    header_count: int = 256
    # Values of all Via fields: one per hop, and Max-Forwards starts at 70. → 400
    via_count: int = 100
    # Values of Route, and of Record-Route: one per hop, as those of Via. → 400
    route_count: int = 100
    # Values of Contact. Registrars list those of a user in an answer. → 400
    contact_count: int = 256
    # Semicolons and commas in all header fields: each may begin a parameter or a value, which costs some
    # hundred octets once the field is read; honest messages have below 300. → 400
    header_parts: int = 2_048
    # Request-URI length. → 414 (RFC 3261 21.4.12)
    uri_size: int = 2_048
    # Fork: targets tried for one request. → the rest are not tried (q order)
    branches: int = 32
    # The same over all generations: the targets of a branch that comes back here (a spiral) count as well.
    # Forwarding from user to user takes a few. → the rest are not tried, and 482 where none is left
    branches_in_all: int = 100
    # Breadth a request without Max-Breadth starts with (RFC 5393 5.3.3.1). → 440
    max_breadth: int = 60
    # An INVITE from its arrival to its final response, whatever provisional responses come meanwhile. → 408,
    # and the phones that ring are cancelled
    ring_time: float = 600.0
    # Dialogs that the answers to one INVITE begin, told by their To tags: early ones, and
    # as many confirmed ones. → responses of further dialogs are dropped
    early_dialogs: int = 64
    # Requests of the peer within one of our own calls that our user has not yet answered. → 503
    requests_unanswered: int = 32
    # Reliable provisional responses of one of our own calls that wait for the PRACK of the one before (RFC
    # 3262 3). → LocalProtocolError for the caller of the method
    reliable_waiting: int = 8
    # Octets of a session description that is kept of each side of a call, ours for a refresh by re-INVITE
    # (RFC 4028 7.4). → an offer of the peer is refused (413), its answer is not kept, our refresh has none
    session_size: int = 16_384
    # Media (m= lines) of a session description that is read: a browser's conference has some fifty.
    # → the description is not read; the module `media` refuses the request (488)
    sdp_media: int = 64
    # Times that a re-INVITE or UPDATE is sent again where the peer's crosses it (491), or its
    # session timer is too short (422). → its user is told of the failure
    modification_attempts: int = 6
    # Seconds in which our user has to answer an UPDATE or PRACK with an offer: the peer's
    # transaction lasts 32 s, and never longer (RFC 3311 5.2). → 504
    prompt_time: float = 20.0
    # Transactions alive at once, client and server together (about 5 KiB each
    # while a call is set up). → 503 with Retry-After
    transactions: int = 200_000
    # Per cent of these that strangers cannot use. Users who have proved who they are, requests within a
    # dialog set up through here, and trusted peers can use them. → a stranger's request is not relayed (503),
    # and this node keeps no transaction for the answer
    transactions_reserved: int = 25
    # Relayed requests of one source address that wait for their final response; of IPv6 of
    # one /64. An office behind a NAT has fewer phones that ring at once. 0 turns
    # it off, and it does not hold for `[[trusted]]` peers. → 503 with Retry-After
    pending_per_source: int = 500
    # The same for one of our users. Above it, strangers have to wait; known senders can still call this user.
    # 0 turns it off. → 480 with Retry-After
    pending_per_callee: int = 100
    # Relayed calls that have a record (`sansip ctl calls`): about 500 octets each. → the server forgets the
    # oldest record, and its call goes on
    relayed_calls: int = 100_000
    # Connections open at once, both directions; fewer where the process may open fewer files. → an idle one
    # over which no phone is registered makes room, or the new one is closed
    connections: int = 50_000
    # Connections from one source address: a NAT may hide an office. → closed
    connections_per_source: int = 2_048
    # A connection that carries nothing at all for this long is closed; phones
    # keep theirs alive every 120 s or less (RFC 5626 4.4.1).
    connection_idle: float = 3_605.0
    # A message begun on a stream must be whole within this time (slow loris).
    message_time: float = 20.0
    # A new connection must deliver its first octets within this time.
    first_data_time: float = 20.0
    # An outgoing connection must be established within this time.
    connect_time: float = 8.0
    # An outgoing TCP connection that a request needs because of its size (RFC 3261 18.1.1) must be
    # established within this time: UDP reaches the same server, and a firewall that drops the SYN says
    # nothing. → the request goes by UDP, and so do the next large ones to that address (`avoid_time`)
    large_connect_time: float = 1.0
    # Octets queued on a connection still being opened, or not read by its peer. → a message that does not fit
    # fails over; a connection whose peer does not read is closed
    connection_backlog: int = 1_048_576
    # A PROXY header of version 2 with its TLVs, where load balancers are in front. → close
    proxy_header_size: int = 2_048
    # HTTP request that opens a WebSocket: a browser's with its cookies. → 400 or
    # 431, then close
    websocket_head_size: int = 16_384
    # A WebSocket silent for this long is asked by a ping: browsers cannot ping by
    # themselves, and NATs and HTTP proxies forget after a minute.
    websocket_ping: float = 30.0
    # A ping must be answered, or anything else come, within this time. → closed
    websocket_pong: float = 20.0
    # Requests of one source address each second, and the burst allowed on top; of IPv6 of one /64. A thousand
    # phones behind one NAT that all register anew stay below. 0 turns it off, and it does not hold for
    # `[[trusted]]` peers. → dropped without an answer, but for retransmissions of requests under way
    source_rate: int = 500
    source_burst: int = 5_000
    # Octets of datagrams that were read and wait to be served, when more come than can be served at once. The
    # sources are served in turn, and a source may hold as many octets as are free. → its datagrams above that
    # are dropped, and SIP repeats the important ones
    datagram_backlog: int = 4_194_304
    # Datagrams of transactions that are remembered after they were sent, so that an ICMP error finds
    # its transaction: those of a quarter of a second at 600 calls/s. → the error of an older one is
    # overlooked, and the transaction's timer ends it
    sends_remembered: int = 1_024
    # Whether the limits by source hold for senders on this very machine, too. Only its programs have such an
    # address: a load generator, or a proxy that hides its clients.
    limit_loopback: bool = False
    # Source addresses remembered for the rate above; the oldest is forgotten.
    sources: int = 100_000
    # Events of a limit reached that are told in one second, each of another limit or
    # source. → the rest are not
    notices: int = 1_000
    # Bans that hold at once, about 300 octets each (`sansip ctl bans`). → the oldest is forgotten
    bans: int = 100_000
    # Contacts of one address-of-record, whatever `registrar.max_contacts` or a route
    # says. → 503, nothing is changed
    bindings_per_aor: int = 32
    # Registrations of one address-of-record that wait for a shared location at one node;
    # all of them become one write. → 503 for the latest of the phone that has most in there
    changes_per_aor: int = 64
    # Trips to a shared location for one registration, where other nodes change the same
    # address-of-record: in each trip one node succeeds, and a few times in a row. → 503
    change_attempts: int = 32
    # Addresses-of-record held in memory. → 503, nothing is changed
    aors: int = 2_000_000
    # Octets of one stored Contact with its Path (a binding is held for hours). → 400
    binding_size: int = 4_096
    # Users whose keys are remembered from the store, the oldest is forgotten.
    users_known: int = 100_000
    # Questions to the outside that wait for an answer. → 503 for the request
    questions: int = 100_000
    # A question must be answered in this time. → as a failed answer
    answer_time: float = 10.0
    # Calls of one function of the route file (`@handler`) that wait for a thread: where all threads
    # hang, more would only come too late. → the await raises `BlockingIOError` at once
    handler_waiting: int = 1_000
    # DNS queries under way at once; each has a socket. → the look-up fails
    dns_queries: int = 1_000
    # Of these, for names below one domain (its last two labels). → the look-up fails
    dns_queries_per_domain: int = 200
    # Names and record types remembered; the oldest is forgotten.
    dns_cache: int = 20_000
    # Octets of one reply of a name server. → not taken
    dns_message: int = 16_384
    # Records taken from one reply. → the rest are not
    dns_records: int = 64
    # Addresses tried for one next hop, all in all. → the rest are not
    next_hops: int = 8
    # Seconds for which an address that failed is tried after all others (RFC 3263 2).
    avoid_time: float = 30.0
    # Addresses remembered for that; the oldest is forgotten.
    avoided: int = 10_000
    # Nonces of other servers, and their addresses, remembered for our own accounts
    # there. → the oldest is forgotten, and that server asks once more
    client_nonces: int = 1_000
    # Challenges of one answer that are looked at, and put together from the branches of a
    # fork; honest servers send one for each algorithm. → the rest are neither answered nor
    # passed on
    challenges: int = 32
    # Octets of one challenge, or of the nonce that is to follow: we keep and repeat them; honest
    # ones have below 500. → it is not answered
    challenge_size: int = 2_048
    # Dialogs whose CSeq was raised by a challenge on the way. → the oldest is
    # forgotten; a later request of it may be refused for its number
    raised_dialogs: int = 20_000
    # Dialogs whose remote targets changed while we looked on (a target refresh). → the oldest
    # is forgotten; after it a stranger reaches the Contact that the dialog began with
    refreshed_dialogs: int = 20_000
    # Seconds that a listener which was taken away goes on for what runs there: no INVITE rings longer
    # than `timers.c`. → its socket and connections are closed
    retire_time: float = 300.0
    # Listeners that were taken away whose Record-Route is known as ours still; one is some 500 octets.
    # → the oldest is forgotten, and requests of its dialogs by other ways are not
    former_listeners: int = 256
    # Seconds for which a message waits for a module that asks the outside about it (a hook that
    # is `async def`). → as if the hook had raised: a request does not leave (500), a response passes
    hook_time: float = 5.0
    # Seconds that a reload waits for the tables and the outer halves of modules that are new: a migration
    # may take its time. → the reload is refused
    prepare_time: float = 60.0
    # Connections over which modules speak protocols of their own (`protocols`). → closed
    links: int = 5_000
    # Of these, from one source address: a NAT may hide an office. → closed
    links_per_source: int = 500
    # Octets of one message of such a protocol, where it does not say itself. → closed
    link_message: int = 65_536
    # HTTP requests for modules (`@mount`) that are not answered yet. → 503 with Retry-After
    mount_requests: int = 200
    # Seconds that a module may take for the answer to one. → 504, its work ends
    mount_time: float = 10.0
    # Octets of such an answer. → 500, and the log names the module
    mount_answer: int = 1_048_576
    # Keys of one module whose rates are counted (`core.limit`). → the one counted least lately is
    # forgotten, and begins anew
    module_keys: int = 100_000
    # Live values of modules (`core.shared`) that a server without `rows` in Redis holds; about 500 octets
    # each. → `OSError` for the module that puts one more
    shared_values: int = 100_000
    # Sockets that modules have open to peers of theirs (`core.datagrams`, `core.socket`, `core.connect`). → a
    # question to a further one fails
    module_sockets: int = 256
    # Answers of such peers that are waited for at once, of all. → the next question fails
    module_questions: int = 10_000
    # Octets that wait for a connection of a module to be opened, and those of one message that
    # is not whole yet. → the question fails; the connection is closed
    module_backlog: int = 1_048_576
    # Calls of this server as a user agent (bridges have two): those that ring, last, or end; about
    # 6 KB each. → 503 with Retry-After
    calls: int = 20_000
    # Of these, from one source address that has proved nothing. → 503 with Retry-After
    calls_per_source: int = 200
    # Of these, those that were answered and have no ACK yet: the 2xx is sent eleven times to an address that
    # any host may have written into a datagram. → 503 with Retry-After
    calls_unacknowledged: int = 30
    # Calls of bridges that call each other, where the next one is this server again. → 482
    bridges_in_a_row: int = 3
    # Dialogs of one INVITE of ours: each phone that a fork reaches answers with a tag of its own. →
    # the others are not heard
    forks_per_call: int = 16
    # Dialogs of such calls, each phone of a fork counted by itself. → further phones are not heard
    call_dialogs: int = 40_000
    # Requests of ours within one call that wait for an answer. → `CallEnded` for the code that asks
    requests_per_call: int = 16
    # REFERs of ours within one call that wait for the peer's last NOTIFY. → `LocalProtocolError` for the code
    # that asks
    referrals_per_call: int = 8
    # Transfers (REFER, and INVITEs with Replaces) within one call of a bridge, or of a user agent that lets
    # itself be transferred. → 603
    transfers_per_call: int = 10
    # Connections to the HTTP listeners at once. → the one idle longest makes room, or the new one is closed
    http_connections: int = 1_000
    # Of these, from one source address. → closed
    http_connections_per_source: int = 50
    # HTTP requests of one source address each second, and the burst allowed on top; of IPv6 of one
    # /64. 0 turns it off; this very machine is free of it (`limit_loopback`). → 429, closed
    http_rate: int = 100
    http_burst: int = 500
    # Octets of an HTTP request's line and header fields. → 431
    http_head_size: int = 16_384
    # Octets of an HTTP request's body. → 413
    http_body_size: int = 65_536
    # Chunks of less than 64 octets in the body of an HTTP request: each costs as much as a large one. → 400
    http_small_chunks: int = 64
    # Seconds that an HTTP request, or the TLS handshake before it, may take from its first octet to
    # its last. → 408, closed
    http_time: float = 10.0
    # Seconds for the next request of an HTTP connection to begin, and for an answer to be read. → closed
    http_idle_time: float = 60.0
    # Seconds that the answer to an HTTP request may take, all commands of a batch together: longer than
    # a store is waited for (`answer_time`). → the error -32002, or 504
    http_answer_time: float = 15.0
    # Events that wait for a client that follows them over WebSocket. → the oldest is dropped, and the client
    # is told
    http_events: int = 1_000
    # Items of one page of a list, and commands of one JSON-RPC batch. → fewer are given; the batch is refused
    http_page: int = 1_000
    http_batch: int = 50
    # Steps a route may take for one request: look-ups, questions and relays, those answered from
    # memory as well. Ring groups look up some hundred users. → the route is ended where it
    # awaits, 500, and the log names the line
    route_steps: int = 1_000

    def __post_init__(self) -> None:
        self.hold(
            min(self.header_count, self.via_count, self.route_count, self.contact_count),
            min(self.header_parts, self.header_size, self.head_size),
        )

    def take(self, other: Limits) -> None:
        """Have the values of ``other`` from now on."""
        for one in fields(self):
            setattr(self, one.name, getattr(other, one.name))
        self.__post_init__()


DEFAULT = Limits()
