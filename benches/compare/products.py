"""The compared products, configured as alike as possible.

Each has one worker on one core, no access log, and persistent upstream connections, and forwards the token. The
configuration file of a product names its differences.
"""

import os
import pathlib
import pwd
import re
import shutil
import subprocess

from processes import free_ports

HERE = pathlib.Path(__file__).resolve().parent


class Product:
    """A compared product."""

    def __init__(
        self, name, program, file, arguments, verifies=None, routes=None, fragment=None, has_opaque_port=False, has_tls=True
    ):
        self.name, self.program, self.file, self.arguments = name, program, file, arguments
        # What it verifies, in words; None for a bare proxy.
        self.verifies = verifies
        # The text of an additional route. HAProxy uses a map file instead.
        self.routes = routes
        self.fragment = fragment
        self.has_opaque_port = has_opaque_port
        self.has_tls = has_tls

    def where(self):
        """The path of the program, if it is installed."""
        # Debian installs servers outside the usual PATH.
        path = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
        return self.program if pathlib.Path(self.program).is_absolute() else shutil.which(self.program, path=path)

    def missing(self):
        """What is missing, if anything."""
        program = self.where()
        if program == SCOPEGATE_PGO and not pathlib.Path(program).exists():
            return "the build of benches/pgo"
        if self.program == SCOPEGATE_BASE and not program:
            return "SCOPEGATE_BASE, the path of a build of another version"
        if not program or not pathlib.Path(program).exists():
            return self.program
        if self.program == "apache2":
            module = modules_of(program) / "mod_auth_openidc.so"
            return None if module.exists() else "mod_auth_openidc (libapache2-mod-auth-openidc)"
        return None

    def version(self):
        """What the program says of its version; None if it has none."""
        option = {"nginx": "-v", "haproxy": "-v", "envoy": "--version", "apache2": "-v", SCOPEGATE: "--version"}.get(self.program)
        if not option:
            return None
        done = subprocess.run([self.where(), option], capture_output=True, text=True, timeout=10)
        return next((line for line in (done.stdout + done.stderr).splitlines() if line), "").strip()

    def start(self, bed, routes, workers=1):
        """Starts the product with this many additional routes."""
        folder = bed.folder / f"{self.name}-{routes}-{workers}"
        folder.mkdir()
        ports = dict(zip(("plain", "tls", "h2c", "opaque"), free_ports(4)))
        known = {**bed.known(), **ports, "folder": folder, "workers": workers}
        if self.program == "apache2":
            known.update(modules=modules_of(self.where()), user=unprivileged())
        known.update(judge="", filters="", mcp="", routes="", scopes="")
        if self.program == "haproxy":
            known["scopes"] = haproxy_scopes(folder, routes)
        elif routes:
            known["routes"] = "\n".join(self.routes.replace("NUMBER", str(number)) for number in range(routes))
        if self.fragment:
            place, fragment = self.fragment
            known[place] = filled(HERE / fragment, known).rstrip("\n")
        arguments = [replaced(part, known) for part in self.arguments]
        if self.file:
            configuration = folder / self.file
            configuration.write_text(filled(HERE / self.file, known))
            arguments = [str(configuration) if part == "FILE" else part for part in arguments]
        command = [self.where(), *arguments]
        running = Running(self, bed.begin(command, bed.proxy_cores, folder / "output"), ports)
        if running.process.listens([ports["plain"], *([ports["tls"]] if self.has_tls else [])]):
            return running
        bed.end(running.process)
        logs = [running.process.log, folder / "error.log"]
        raise NotStarted("".join(log.read_text(errors="replace")[-1000:] for log in logs if log.exists()))


def named(name):
    """The product of this name."""
    return next(product for product in PRODUCTS if product.name == name)


class NotStarted(Exception):
    """The program is installed, but does not start."""


class Running:
    """A running product."""

    def __init__(self, product, process, ports):
        self.product, self.process, self.ports = product, process, ports

    def port(self, protocol, is_opaque=False):
        """The port for a case."""
        if protocol == "h2c":
            # Only some products detect HTTP/2 without TLS by its preface.
            return self.ports["h2c" if self.product.program in ("nginx", "haproxy") else "plain"]
        if is_opaque and self.product.has_opaque_port:
            return self.ports["opaque"]
        return self.ports["plain" if protocol == "http1" else "tls"]


def filled(file, known):
    """The text of a file with each @name@ replaced."""
    return replaced(pathlib.Path(file).read_text(), known)


def replaced(text, known):
    """A text with each @name@ replaced."""
    return re.sub("@([a-z0-9]+)@", lambda place: str(known[place[1]]), text)


def modules_of(apache):
    """The module folder of a Debian Apache."""
    return pathlib.Path(apache).resolve().parents[1] / "lib/apache2/modules"


def unprivileged():
    """Directives for another user: Apache does not serve as root."""
    if os.getuid() != 0:
        return ""
    nobody = pwd.getpwnam("nobody")
    return f"User #{nobody.pw_uid}\nGroup #{nobody.pw_gid}"


def haproxy_scopes(folder, routes):
    """The scope rules: one for all, or a map of prefixes, which HAProxy looks up in a tree."""
    if not routes:
        scope = "{ var(txn.token),jwt_payload_query('$.scope') -m reg (^|\\ )messages\\.read(\\ |$) }"
        return f"  http-request deny deny_status 403 unless {scope}"
    table = folder / "scopes.map"
    table.write_text("".join(f"/service{number}/ messages.read\n" for number in range(routes)))
    return f"""  http-request set-var(txn.scope) path,map_beg({table})
  http-request deny deny_status 404 unless {{ var(txn.scope) -m found }}
  http-request deny deny_status 403 unless {{ var(txn.token),jwt_payload_query('$.scope'),strcmp(txn.scope) eq 0 }}"""


SCOPEGATE = str(HERE.parent.parent / "target/release/scopegate")
HYPER, HYPER_UNWINDING = (str(HERE.parent.parent / f"target/{profile}/bare-hyper") for profile in ("floor", "release"))
SCOPEGATE_PGO = str(HERE.parent.parent / "target/pgo/release/scopegate")
SCOPEGATE_BASE = os.environ.get("SCOPEGATE_BASE", "scopegate-base")
SCOPEGATE_MCP = ("mcp", "scopegate-mcp.toml")
ALL = "signature, iss, aud, exp, scope"

NGINX_ROUTE = "location /serviceNUMBER/ { proxy_pass http://up; }"
ENVOY_ROUTE = "              - {match: {prefix: /serviceNUMBER/}, route: {cluster: up}}"
SCOPEGATE_ROUTE = """[[routes]]
path = "/serviceNUMBER/apps/{id}/messages"
scope = "messages.read"
upstream = "bench"
"""

ENVOY = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "error", "-c", "FILE"]
NGINX, HAPROXY = ["-c", "FILE"], ["-db", "-q", "-f", "FILE"]
PRODUCTS = [
    Product("nginx", "nginx", "nginx.conf", NGINX, routes=NGINX_ROUTE),
    Product("haproxy", "haproxy", "haproxy.cfg", HAPROXY),
    Product("envoy", "envoy", "envoy.yaml", ENVOY, routes=ENVOY_ROUTE),
    Product("hyper", HYPER, None, ["@plain@", "127.0.0.1:@upstream@"], has_tls=False),
    Product("hyper-unwinding", HYPER_UNWINDING, None, ["@plain@", "127.0.0.1:@upstream@"], has_tls=False),
    Product(
        "haproxy-jwt", "haproxy", "haproxy.cfg", HAPROXY,
        verifies=f"{ALL}; verified for each request",
        fragment=("judge", "haproxy-jwt.cfg"),
    ),
    Product(
        "envoy-jwt", "envoy", "envoy.yaml", ENVOY,
        verifies=f"{ALL}; caches verified tokens",
        routes=ENVOY_ROUTE, fragment=("filters", "envoy-jwt.yaml"),
    ),
    Product(
        "nginx-auth", "nginx", "nginx-auth.conf", NGINX,
        verifies="nothing itself; caches the verdict of a stub that accepts every token for a minute",
    ),
    Product(
        "apache-oidc", "apache2", "httpd.conf", ["-D", "FOREGROUND", "-f", "FILE"],
        verifies=f"{ALL}; caches introspection responses",
        has_opaque_port=True,
    ),
    Product(
        "scopegate", SCOPEGATE, "scopegate.toml", ["--config", "FILE"],
        verifies=f"{ALL}; caches verified tokens",
        routes=SCOPEGATE_ROUTE, fragment=SCOPEGATE_MCP,
    ),
    Product(
        "scopegate-pgo", SCOPEGATE_PGO, "scopegate.toml", ["--config", "FILE"],
        verifies=f"{ALL}; caches verified tokens",
        routes=SCOPEGATE_ROUTE, fragment=SCOPEGATE_MCP,
    ),
    # Another version may not know `mcp` of a route.
    Product(
        "scopegate-base", SCOPEGATE_BASE, "scopegate.toml", ["--config", "FILE"],
        verifies=f"{ALL}; caches verified tokens",
        routes=SCOPEGATE_ROUTE,
    ),
]
