"""A small real DNS server for the deployed system to run: ``responder.py ADDRESS PORT PIDFILE``.

It answers every name with 192.0.2.1 by UDP and TCP, ``blocked.example`` with 0.0.0.0, as Pi-hole does, and says
NXDOMAIN for what is below ``nowhere.example``.
"""

import os
import socketserver
import struct
import sys
import threading
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import dns.rrset


def answer(wire: bytes) -> bytes:
    """Return the answer to a question."""
    question = dns.message.from_wire(wire)
    response = dns.message.make_response(question, recursion_available=True)
    name = question.question[0].name
    if "nowhere.example" in name.to_text():
        response.set_rcode(dns.rcode.NXDOMAIN)
    else:
        address = "0.0.0.0" if name.to_text() == "blocked.example." else "192.0.2.1"
        response.answer.append(dns.rrset.from_text(name, 60, "IN", "A", address))
    return response.to_wire()


class Udp(socketserver.BaseRequestHandler):
    """One datagram."""

    def handle(self) -> None:
        data, socket = self.request
        socket.sendto(answer(data), self.client_address)


class Tcp(socketserver.BaseRequestHandler):
    """One question of a connection: its length in two bytes, then itself (RFC 1035 section 4.2.2)."""

    def handle(self) -> None:
        (length,) = struct.unpack("!H", self.request.recv(2))
        wire = answer(self.request.recv(length))
        self.request.sendall(struct.pack("!H", len(wire)) + wire)


class TcpServer(socketserver.ThreadingTCPServer):
    """A port that can be taken again at once."""

    allow_reuse_address = True


def main(address: str, port: int, pid_file: Path) -> None:
    """Serve until killed; the pid is written once both sockets listen."""
    with TcpServer((address, port), Tcp) as tcp, socketserver.ThreadingUDPServer((address, port), Udp) as udp:
        threading.Thread(target=tcp.serve_forever, daemon=True).start()
        aside = pid_file.with_suffix(".new")
        aside.write_text(str(os.getpid()))
        aside.rename(pid_file)
        udp.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
