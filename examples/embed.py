"""A SIP server in twelve lines of your own loop: register, call, hang up, over UDP."""

import os
import socket
import time
from collections.abc import Callable

from sansip import ListenerConfig, SendDatagram, Stack, StackConfig


def serve(sock: socket.socket, keep_on: Callable[[], bool] = lambda: True) -> None:
    host, port = sock.getsockname()
    stack = Stack(StackConfig([ListenerConfig(0, "udp", host, port)], ["localhost"]), seed=os.urandom(32))
    while keep_on():
        deadline = stack.next_deadline()
        sock.settimeout(0.5 if deadline is None else min(0.5, max(0.001, deadline - time.monotonic())))
        try:
            data, source = sock.recvfrom(65535)
            actions = stack.datagram_received(0, data, source, time.monotonic())
        except TimeoutError:
            actions = stack.time_passed(time.monotonic())
        for action in actions:
            if isinstance(action, SendDatagram):
                sock.sendto(action.data, action.address)


if __name__ == "__main__":
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 5060))
        serve(udp)
