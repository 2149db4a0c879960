"""The servers on loopback: pages of several origins, and the upstream behind the gateway."""

import base64
import hashlib
import http.server
import json
import struct
import threading
import urllib.error
import urllib.parse
import urllib.request

WEBSOCKET_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
# What scripts of pages call.
HELPERS = """
async function ask(url, options = {}) {
  try {
    const response = await fetch(url, options);
    const header = name => response.headers.get(name);
    return { type: response.type, status: response.status, text: await response.text(),
      challenge: header('WWW-Authenticate'), request: header('X-Request-Id'), internal: header('X-Internal') };
  } catch (error) {
    return { failed: error.name };
  }
}
async function tokenFor(scope) {
  return (await fetch('/token', { method: 'POST', body: scope })).text();
}
const bearer = token => ({ headers: { Authorization: `Bearer ${token}` } });
const socket = (url, protocols) => new Promise(resolve => {
  const socket = new WebSocket(url, protocols);
  socket.onopen = () => socket.send('hello');
  socket.onmessage = event => { resolve({ said: event.data, protocol: socket.protocol }); socket.close(); };
  socket.onclose = event => resolve({ failed: event.code });
});
const events = (url, options) => new Promise(resolve => {
  const source = new EventSource(url, options);
  const end = value => { source.close(); resolve(value); };
  source.onmessage = event => end({ said: event.data });
  source.onerror = () => end({ failed: source.readyState });
});
function upload(megabytes, options) {
  const piece = new Uint8Array(1 << 20).fill(120);
  return ask(options.url, { ...options, method: 'POST', body: new Blob(Array(megabytes).fill(piece)) });
}
function stream(megabytes, options) {
  const piece = new Uint8Array(1 << 20).fill(120);
  const pull = controller => megabytes-- > 0 ? controller.enqueue(piece.slice()) : controller.close();
  return ask(options.url, { ...options, method: 'POST', body: new ReadableStream({ pull }), duplex: 'half' });
}
"""


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, handler):
        super().__init__(("127.0.0.1", 0), handler)
        self.origin = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    # Clients that disconnect are part of the tests.
    def handle_error(self, request, client_address):
        pass


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30

    def log_message(self, *arguments):
        pass

    def reply(self, status, body, headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Pages(Server):
    """One origin: a page with the helpers, and its own way to get a token, as the server side of an application has."""

    def __init__(self, token_endpoint):
        super().__init__(PageHandler)
        self.token_endpoint = token_endpoint


class PageHandler(Handler):
    def do_GET(self):
        headers = [("Content-Type", "text/html; charset=utf-8")]
        if self.path == "/sandboxed":
            # The origin of such a page is `null`.
            headers.append(("Content-Security-Policy", "sandbox allow-scripts"))
        self.reply(200, f"<!doctype html><title>page</title><script>{HELPERS}</script>".encode(), headers)

    def do_POST(self):
        scope = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.reply(200, token(self.server.token_endpoint, scope).encode(), [("Content-Type", "text/plain")])


def token(endpoint, scope):
    """Gets an access token from the development server."""
    form = urllib.parse.urlencode({"grant_type": "client_credentials", "scope": scope}).encode()
    credentials = base64.b64encode(b"test:test").decode()
    request = urllib.request.Request(endpoint, form, {"Authorization": f"Basic {credentials}"})
    # Without a proxy, whatever the environment says.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=10) as response:
        return json.load(response)["access_token"]


def base64url(text):
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


class Upstream(Server):
    """Answers with the request that it received, and remembers it."""

    def __init__(self):
        super().__init__(UpstreamHandler)
        self.received = []
        self.aborted = 0
        self.page = f"<!doctype html><title>page</title><script>{HELPERS}</script>"


class UpstreamHandler(Handler):
    # A policy of its own, which must never show.
    own_policy = [
        ("Access-Control-Allow-Origin", "*"),
        ("Access-Control-Allow-Credentials", "true"),
        ("Access-Control-Expose-Headers", "X-Internal"),
        ("X-Internal", "internal"),
    ]

    def handle_one(self):
        size = int(self.headers.get("Content-Length", 0))
        chunked = self.headers.get("Transfer-Encoding") == "chunked"
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.received.append((self.command, self.path, headers))
        try:
            count = self.read_chunks() if chunked else self.read_body(size)
        except OSError:
            count = None
        if count is None:
            self.server.aborted += 1
            self.close_connection = True
        elif self.headers.get("Upgrade", "").lower() == "websocket":
            self.serve_websocket()
        elif self.path.startswith("/page"):
            self.reply(200, self.server.page.encode(), [("Content-Type", "text/html; charset=utf-8")])
        elif self.path.endswith("/events"):
            self.reply(200, b"data: event\n\n", [("Content-Type", "text/event-stream"), *self.own_policy])
        else:
            seen = {"method": self.command, "headers": headers, "size": count}
            self.reply(200, json.dumps(seen).encode(), [("Content-Type", "application/json"), *self.own_policy])

    do_GET = do_POST = do_PUT = do_DELETE = do_OPTIONS = handle_one

    def read_body(self, size):
        left = size
        while left:
            chunk = self.rfile.read1(min(left, 1 << 18))
            if not chunk:
                return None
            left -= len(chunk)
        return size

    def read_chunks(self):
        count = 0
        while line := self.rfile.readline(64):
            size = int(line, 16)
            if self.read_body(size) is None:
                return None
            self.rfile.readline(4)
            if size == 0:
                return count
            count += size
        return None

    def serve_websocket(self):
        """Sends back one message, then closes."""
        self.close_connection = True
        accept = hashlib.sha1((self.headers["Sec-WebSocket-Key"] + WEBSOCKET_GUID).encode()).digest()
        self.send_response(101)
        self.send_header("Connection", "Upgrade")
        self.send_header("Upgrade", "websocket")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(accept).decode())
        if "chat" in self.headers.get("Sec-WebSocket-Protocol", ""):
            self.send_header("Sec-WebSocket-Protocol", "chat")
        self.end_headers()
        _, length = struct.unpack("!BB", self.rfile.read(2))
        # Messages of the tests are shorter than 126 bytes; clients mask them.
        length &= 0x7F
        mask = self.rfile.read(4)
        payload = bytes(byte ^ mask[index % 4] for index, byte in enumerate(self.rfile.read(length)))
        self.wfile.write(bytes([0x81, length]) + payload)
        # The frame with which the client closes.
        head = self.rfile.read(2)
        body = self.rfile.read(4 + (head[1] & 0x7F)) if len(head) == 2 else b""
        if len(body) >= 6:
            code = bytes(byte ^ body[index % 4] for index, byte in enumerate(body[4:6]))
            self.wfile.write(b"\x88\x02" + code)
