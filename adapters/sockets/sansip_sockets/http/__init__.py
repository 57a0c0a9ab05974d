"""HTTP for operators and web pages: requests whole, or refused by a named limit."""

from sansip_sockets.http.conversation import (
    Conversation,
    HttpFault,
    HttpRequest,
    HttpResponse,
    Talk,
    Upgrade,
)
from sansip_sockets.http.handing import Handing
from sansip_sockets.http.server import Answer, HttpListener, HttpServer, Work

__all__ = [
    "Answer",
    "Conversation",
    "Handing",
    "HttpFault",
    "HttpListener",
    "HttpRequest",
    "HttpResponse",
    "HttpServer",
    "Talk",
    "Upgrade",
    "Work",
]
