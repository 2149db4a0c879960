"""Messages for an MCP server, mutated at random so that two parsers may read them differently."""

import base64
import gzip
import json

# The scopes of the token, and what examples/mcp/gateway.toml grants for them.
SCOPE = "notes notes.read"
NOTE = {"name": "welcome"}
GRANTED = [("tools/list", None), ("tools/call", "read_note"), ("ping", None)]
OTHERS = [("tools/call", "delete_note"), ("tools/call", "rename_note"), ("resources/read", "file:///a"), ("prompts/get", "a"),
          ("logging/setLevel", None), ("completion/complete", None)]
REVISIONS = ["2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28", "2024-11-05", "2099-01-01", ""]
# This share of the messages is not mutated, and has to be served.
PLAIN_SHARE = 0.15
# Characters that some parsers take for a letter.
LOOKALIKES = {"s": "\u017f", "k": "\u212a", "i": "\u0131"}


def is_granted(operation):
    """Whether an operation that the server found, as its GET /seen writes it, is one that the token grants."""
    method, _, name = operation.partition(" ")
    always = method in ("tools/list", "ping", "initialize", "server/discover", "response")
    return always or method.startswith("notifications/") or (method == "tools/call" and name.startswith("read_"))


class Message:
    """One request: its head and its body, mutated at random. `others` are the operations that the token does not grant."""

    def __init__(self, random, token, others=OTHERS):
        self.random, self.token = random, token
        self.is_plain = random.random() < PLAIN_SHARE
        # The response to a plain message repeats its id, so no response of another message passes for it.
        self.id = random.randint(1, 999_999_999)
        self.method, self.name = random.choice(GRANTED if self.is_plain or random.random() < 0.5 else others)
        self.headers = [("Content-Type", "application/json"), ("Accept", "application/json, text/event-stream")]
        self.verb, self.target = "POST", "/mcp"
        body = self.text().encode("utf-8", "surrogatepass")
        if not self.is_plain:
            body = self.mutate_bytes(body)
            self.mutate_head()
        self.body = body

    def chance(self, share):
        return not self.is_plain and self.random.random() < share

    def quoted(self, text):
        """A JSON string, with some of its characters escaped."""
        if not self.chance(0.3):
            return json.dumps(text)
        parts = [f"\\u{ord(part):04x}" if self.random.random() < 0.3 else json.dumps(part)[1:-1] for part in text]
        return f'"{"".join(parts)}"'

    def key(self, name):
        """The name of a member, or one that some parser takes for it."""
        if self.chance(0.08):
            name = self.random.choice([name.upper(), name.title(), f"{name}\0", f" {name}", "__proto__", "".join(
                LOOKALIKES.get(part, part) for part in name)])
        return self.quoted(name)

    def object(self, members):
        """Members as an object, with further ones of the same names now and then."""
        members = list(members)
        while self.chance(0.15):
            name, _ = self.random.choice(members)
            members.insert(self.random.randint(0, len(members)), (name, self.other_value(name)))
        space = self.random.choice(["", " ", "\n\t"])
        return "{" + ("," + space).join(f"{self.key(name)}:{space}{value}" for name, value in members) + "}"

    def other_value(self, name):
        if self.random.random() < 0.2:
            return self.random.choice(["null", "NaN", "1e999", '"\\ud800"', "[" * 80 + "]" * 80, "-0", "{}", "[]", "true"])
        method, subject = self.random.choice(GRANTED + OTHERS)
        if name == "method":
            return self.quoted(method)
        if name == "params":
            return self.params(subject or "delete_note")
        return self.quoted(subject or "delete_note") if name in ("name", "uri") else self.quoted("x")

    def params(self, subject):
        members = [("arguments", json.dumps(NOTE))]
        if subject:
            members.append(("uri" if ":" in subject else "name", self.quoted(subject)))
        if self.chance(0.2):
            revision = self.quoted(self.random.choice(REVISIONS))
            members.append(("_meta", self.object([("io.modelcontextprotocol/protocolVersion", revision)])))
        self.random.shuffle(members)
        return self.object(members)

    def text(self):
        members = [("jsonrpc", '"2.0"'), ("id", str(self.id)), ("method", self.quoted(self.method))]
        if self.name or self.random.random() < 0.5:
            members.append(("params", self.params(self.name)))
        if not self.is_plain:
            self.random.shuffle(members)
            if self.random.random() < 0.05:
                members.pop()
        text = self.object(members)
        if self.chance(0.04):
            text = self.random.choice([f"[{text}]", f"[{text},{text}]", f"{text}{text}", f"{text}\n{text}", f'{{"a":{text}}}'])
        if self.chance(0.04):
            place = self.random.randint(0, len(text))
            text = text[:place] + self.random.choice(["/**/", "//\n", "#", "\0", "\u00a0", "\ufeff", ",", '"']) + text[place:]
        return text

    def mutate_bytes(self, body):
        if self.chance(0.05):
            body = self.random.choice([b"\xef\xbb\xbf", b"\xff\xfe", b" ", b"\0", b"x", b"["]) + body
        if self.chance(0.05):
            body += self.random.choice([b" ", b"\r\n", b"\0", b"{}", b"]", b",{}", b"//", b"\xff"])
        if self.chance(0.05) and body:
            place = self.random.randrange(len(body))
            kind = self.random.choice(["flip", "cut", "drop"])
            changed = {"flip": bytes([body[place] ^ (1 << self.random.randrange(8))]) + body[place + 1:], "cut": b"", "drop": body[place + 1:]}
            body = body[:place] + changed[kind]
        if self.chance(0.06):
            charset = self.random.choice(["utf-8", "UTF-8", '"utf-8"', "utf-7", "utf-16", "utf-16le", "utf-32", "latin1", "x"])
            self.headers[0] = ("Content-Type", f"application/json; charset={charset}")
            coded = {"utf-16": "utf-16", "utf-16le": "utf-16-le", "utf-32": "utf-32", "utf-7": "utf-7"}.get(charset)
            if coded and self.random.random() < 0.8:
                body = body.decode("utf-8", "replace").encode(coded)
        if self.chance(0.03):
            self.headers.append(("Content-Encoding", self.random.choice(["gzip", "identity", "deflate", "br", ""])))
            if self.random.random() < 0.6:
                body = gzip.compress(body, 1)
        return body

    def mutate_head(self):
        method, name = self.method, self.name
        if self.chance(0.3):
            method, name = self.random.choice(GRANTED + OTHERS)
        if self.chance(0.5):
            self.headers.append(("MCP-Protocol-Version", self.random.choice(REVISIONS)))
        if self.chance(0.6):
            self.headers.append(("Mcp-Method", method))
        if name and self.chance(0.7):
            coded = f"=?base64?{base64.b64encode(name.encode()).decode()}?="
            self.headers.append(("Mcp-Name", coded if self.random.random() < 0.3 else name))
        if self.chance(0.05):
            self.headers.append(self.random.choice(self.headers))
        if self.chance(0.03):
            self.headers[0] = ("Content-Type", self.random.choice(["text/plain", "application/json5", "application/x-www-form-urlencoded",
                                                                   "application/jsonrequest", "application/json, text/plain", ""]))
        if self.chance(0.03):
            self.headers.append(("X-HTTP-Method-Override", "POST"))
        if self.chance(0.03):
            self.verb = self.random.choice(["PUT", "PATCH", "GET", "DELETE", "post"])
        if self.chance(0.02):
            self.target = self.random.choice(["/mcp/", "/mcp?a=/x", "/MCP", "//mcp", "/mcp;a"])
