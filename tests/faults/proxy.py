"""A proxy that knows where one command ends and the next begins, and so can break a connection at exactly the wrong moment.

with Proxy(socket_of_the_server, commands=redis_commands) as proxy:
    proxy.on("EVALSHA", "lose_reply", nth=3)      # the server has done it, nobody will hear of it
    proxy.on("COMMIT", "cut_before")               # the server never sees it
    proxy.on("LPOP", "stall", seconds=6)           # its reply comes that much later
    proxy.refuse(); proxy.accept()                 # away, and back
    proxy.freeze(); proxy.thaw()                   # open connections on which nothing moves
    proxy.lead_to(another_server)                  # a failover
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

Commands = Callable[["Reader"], Iterator[bytes]]
WAYS = ("cut_before", "lose_reply", "stall")


@dataclass
class Rule:
    """What happens at the n-th command that matches (0: at each)."""

    match: re.Pattern[str]
    do: str
    nth: int
    seconds: float
    seen: int = 0
    fired: int = 0

    def fires(self, command: str) -> bool:
        """Counts the command and says whether this is the one."""
        if not self.match.search(command):
            return False
        self.seen += 1
        hit = self.nth in (0, self.seen)
        self.fired += hit
        return hit


class Reader:
    """The bytes that a client sends, taken off in pieces of known size; what was taken is remembered for passing on."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = b""
        self._taken = b""

    def exactly(self, size: int) -> bytes:
        """The next bytes. Raises EOFError when the client has gone."""
        while len(self._buffer) < size:
            more = self._sock.recv(65_536)
            if not more:
                raise EOFError
            self._buffer += more
        found, self._buffer = self._buffer[:size], self._buffer[size:]
        self._taken += found
        return found

    def line(self) -> bytes:
        """Up to and with the next line end."""
        while b"\r\n" not in self._buffer:
            more = self._sock.recv(65_536)
            if not more:
                raise EOFError
            self._buffer += more
        return self.exactly(self._buffer.index(b"\r\n") + 2)

    def taken(self) -> bytes:
        """Everything since the last time this was asked."""
        found, self._taken = self._taken, b""
        return found


def redis_commands(reader: Reader) -> Iterator[bytes]:
    """One command after the other, as its words with blanks between."""
    while True:
        words = []
        for _ in range(int(reader.line()[1:])):
            words.append(reader.exactly(int(reader.line()[1:])))
            reader.exactly(2)
        yield b" ".join(words)


def mysql_commands(reader: Reader) -> Iterator[bytes]:
    """The text of one statement after the other; for packets of the handshake and other commands, nothing."""
    while True:
        head = reader.exactly(4)
        body = reader.exactly(int.from_bytes(head[:3], "little"))
        yield body[1:] if head[3] == 0 and body[:1] == b"\x03" else b""


@dataclass
class _Pair:
    """A client and the server's side of it."""

    client: socket.socket
    server: socket.socket
    lose_reply: bool = False
    reply_at: float = 0.0

    def close(self) -> None:
        for sock in (self.client, self.server):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()


@dataclass
class Proxy:
    """Listens on a TCP port of this machine and passes on to the socket of a server. Every method may be called any time."""

    server: Path
    commands: Commands
    _rules: list[Rule] = field(default_factory=list)
    _pairs: list[_Pair] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._moving = threading.Event()
        self._moving.set()
        self._refusing = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self.thaw()
        self.cut()

    # --- what a test asks for

    def on(self, match: str, do: str, *, nth: int = 1, seconds: float = 0.0) -> Rule:
        """From now on: `cut_before`, `lose_reply` or `stall` at the n-th command matching the expression (0: at each)."""
        assert do in WAYS, do
        rule = Rule(re.compile(match, re.IGNORECASE), do, nth, seconds)
        with self._lock:
            self._rules.append(rule)
        return rule

    def forget(self) -> int:
        """No rule is in force any more. Returns how often one has fired."""
        with self._lock:
            rules, self._rules = self._rules, []
        return sum(rule.fired for rule in rules)

    def refuse(self) -> None:
        """The server is away: open connections end, new ones end at once."""
        self._refusing = True
        self.cut()

    def accept(self) -> None:
        """It is back."""
        self._refusing = False

    def freeze(self) -> None:
        """Nothing moves any more, and nobody is told."""
        self._moving.clear()

    def thaw(self) -> None:
        """Everything moves again."""
        self._moving.set()

    def lead_to(self, server: Path) -> None:
        """Another server is behind the address from now on."""
        self.server = server
        self.cut()

    def cut(self) -> None:
        """End every open connection."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            pair.close()

    # --- carrying

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._refusing:
                client.close()
                continue
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(str(self.server))
            except OSError:
                client.close()
                continue
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pair = _Pair(client, server)
            with self._lock:
                self._pairs.append(pair)
            for carry in (self._requests, self._replies):
                threading.Thread(target=self._carry, args=(carry, pair), name="proxy", daemon=True).start()

    def _carry(self, carry: Callable[[_Pair], None], pair: _Pair) -> None:
        try:
            carry(pair)
        except (OSError, EOFError):
            pass
        finally:
            pair.close()

    def _requests(self, pair: _Pair) -> None:
        reader = Reader(pair.client)
        for command in self.commands(reader):
            self._moving.wait()
            rule = self._rule_for(command.decode("utf-8", "replace"))
            if rule is not None and rule.do == "cut_before":
                return
            if rule is not None and rule.do == "lose_reply":
                pair.lose_reply = True
            if rule is not None and rule.do == "stall":
                pair.reply_at = time.monotonic() + rule.seconds
            pair.server.sendall(reader.taken())

    def _rule_for(self, command: str) -> Rule | None:
        with self._lock:
            return next((rule for rule in self._rules if rule.fires(command)), None)

    def _replies(self, pair: _Pair) -> None:
        while data := pair.server.recv(65_536):
            if pair.lose_reply:
                return
            time.sleep(max(0.0, pair.reply_at - time.monotonic()))
            self._moving.wait()
            pair.client.sendall(data)
