"""The floor: a bare handler behind Mongrel2, one page after the other.

`floor_pages PULL_ADDRESS PUB_ADDRESS SERVICE_ADDRESS`; /plain is answered without a call.
"""

import sys

import zmq

MESSAGE = b'{"text":"' + b"x" * 59 + b'"}'


def main() -> None:
    """Answer every page with a reply made of its message's first three words."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
    pull, pub, dealer = (context.socket(kind) for kind in (zmq.PULL, zmq.PUB, zmq.DEALER))
    for socket, address in zip((pull, pub, dealer), sys.argv[1:], strict=True):
        socket.connect(address)
    while True:
        sender, connection, path, _ = pull.recv().split(b" ", 3)
        if path == b"/":
            dealer.send(MESSAGE)
            pub.send(page(sender, connection, dealer.recv()))
        elif path == b"/plain":  # Mongrel2's own notices are not answered
            pub.send(page(sender, connection, MESSAGE))


def page(sender: bytes, connection: bytes, body: bytes) -> bytes:
    """A Mongrel2 reply with a page."""
    return b"%b %d:%b, HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (
        sender,
        len(connection),
        connection,
        len(body),
        body,
    )


if __name__ == "__main__":
    main()
