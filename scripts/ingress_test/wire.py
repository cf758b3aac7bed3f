"""HTTP by hand: a client of HTTP/1.1 and one of HTTP/2 with gRPC, both over TLS, and a server that says what reached it."""

import base64
import http.client
import json
import socket
import ssl
import struct
import threading
import time

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings

PATIENCE = 30


class Answer:
    """A status, headers with lower-case names, a body."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.headers} {self.body[:500]!r}"


class Client:
    """Calls one Envoy, with a token or without."""

    def __init__(self, port, ca_file, token=None):
        self.port, self.ca_file, self.token = port, ca_file, token

    def context(self, protocols=()):
        context = ssl.create_default_context(cafile=self.ca_file)
        if protocols:
            context.set_alpn_protocols(list(protocols))
        return context

    def connect(self, protocols=(), patience=PATIENCE):
        raw = socket.create_connection(("127.0.0.1", self.port), timeout=patience)
        return self.context(protocols).wrap_socket(raw, server_hostname="localhost")

    def call(self, method, path, body=None, headers=None, token=True):
        """A call over HTTP/1.1. `token`: the client's, none, or another one."""
        connection = http.client.HTTPSConnection("localhost", self.port, timeout=PATIENCE, context=self.context())
        headers = dict(headers or {})
        token = self.token if token is True else token
        if token:
            headers.setdefault("authorization", f"Bearer {token}")
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
            headers.setdefault("content-type", "application/json")
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def get(self, path, **options):
        return self.call("GET", path, **options)

    def raw(self, data, patience=PATIENCE):
        """Sends bytes as they are; what comes back until the other side is silent or closes."""
        with self.connect(patience=patience) as connection:
            connection.sendall(data)
            found = b""
            try:
                while part := connection.recv(65536):
                    found += part
            except (TimeoutError, ssl.SSLError, ConnectionError):
                pass
            return found

    def grpc(self, path, message=b"", headers=None, token=True):
        """One call of gRPC: (status, message of the status, messages, all headers and trailers)."""
        headers = dict(headers or {})
        token = self.token if token is True else token
        if token:
            headers.setdefault("authorization", f"Bearer {token}")
        with self.connect(["h2"]) as connection:
            return exchange(connection, path, message, headers)


def hoard(client, path, streams):
    """A connection on which so many answers wait that nobody reads."""
    connection = client.connect(["h2"])
    wire = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    wire.local_settings[h2.settings.SettingCodes.INITIAL_WINDOW_SIZE] = 0
    wire.initiate_connection()
    for _ in range(streams):
        headers = [(":method", "GET"), (":scheme", "https"), (":authority", "localhost"), (":path", path)]
        wire.send_headers(wire.get_next_available_stream_id(), headers, end_stream=True)
    connection.sendall(wire.data_to_send())
    return connection


def frame(message):
    """A message as gRPC sends it."""
    return struct.pack(">BI", 0, len(message)) + message


def unframe(data):
    """The (flags, message) pairs in a stream of gRPC."""
    found = []
    while len(data) >= 5:
        flags, length = struct.unpack(">BI", data[:5])
        found.append((flags, data[5:5 + length]))
        data = data[5 + length:]
    return found


def exchange(connection, path, message, headers):
    wire = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
    wire.initiate_connection()
    stream = wire.get_next_available_stream_id()
    wire.send_headers(stream, [
        (":method", "POST"), (":scheme", "https"), (":authority", "localhost"), (":path", path),
        ("content-type", "application/grpc"), ("te", "trailers"), *headers.items(),
    ])
    left, found, body, over = frame(message), {}, b"", False
    end = time.monotonic() + PATIENCE
    while not over:
        while left and (room := min(wire.local_flow_control_window(stream), wire.max_outbound_frame_size)) > 0:
            wire.send_data(stream, left[:room], end_stream=len(left) <= room)
            left = left[room:]
        connection.sendall(wire.data_to_send())
        data = connection.recv(65536)
        if not data or time.monotonic() > end:
            raise TimeoutError(f"no end of {path}")
        for event in wire.receive_data(data):
            if isinstance(event, (h2.events.ResponseReceived, h2.events.TrailersReceived)):
                found.update(event.headers)
            elif isinstance(event, h2.events.DataReceived):
                body += event.data
                wire.acknowledge_received_data(event.flow_controlled_length, stream)
            elif isinstance(event, h2.events.StreamReset):
                found.setdefault("reset", str(event.error_code))
                over = True
            elif isinstance(event, h2.events.StreamEnded):
                over = True
        if over or "grpc-status" in found:
            left = b""
    return int(found.get("grpc-status", -1)), found.get("grpc-message", ""), [m for _, m in unframe(body)], found


def field(number, value):
    """A text or bytes field of a message."""
    value = value.encode() if isinstance(value, str) else value
    return bytes([number << 3 | 2]) + varint(len(value)) + value


def varint(number):
    out = b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def web_text(message):
    """A message as gRPC-Web sends it in text."""
    return base64.b64encode(frame(message))


class Echo:
    """A server of HTTP/2 without TLS that answers every call of gRPC with OK and remembers its headers."""

    def __init__(self):
        self.heard = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        wire = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        wire.initiate_connection()
        with connection:
            connection.sendall(wire.data_to_send())
            while data := connection.recv(65536):
                for event in wire.receive_data(data):
                    if isinstance(event, h2.events.RequestReceived):
                        self.heard.append(dict(event.headers))
                    elif isinstance(event, h2.events.DataReceived):
                        wire.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    elif isinstance(event, h2.events.StreamEnded):
                        self.answer(wire, event.stream_id)
                connection.sendall(wire.data_to_send())

    @staticmethod
    def answer(wire, stream):
        wire.send_headers(stream, [(":status", "200"), ("content-type", "application/grpc")])
        # One message: to a question about health it says SERVING.
        wire.send_data(stream, frame(b"\x08\x01"))
        wire.send_headers(stream, [("grpc-status", "0")], end_stream=True)

    def last(self, path):
        """The headers of the last call with this path."""
        return next(headers for headers in reversed(self.heard) if headers[":path"] == path)

    def close(self):
        self.listener.close()
