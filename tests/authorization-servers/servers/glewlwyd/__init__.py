"""Debian's `glewlwyd`: the installed one, or its packages unpacked in a folder."""

import gzip
import json
import os
import re
import shutil
import sqlite3
import subprocess

import bed
from mission import Kind

CONFIGURATION = """
port = {port}
bind_address = "127.0.0.1"
external_url = "http://127.0.0.1:{port}"
login_url = "login.html"
api_prefix = "api"
log_mode = "console"
log_level = "INFO"
cookie_domain = "127.0.0.1"
cookie_secure = 0
admin_scope = "g_admin"
profile_scope = "g_profile"
user_module_path = "{modules}/user"
client_module_path = "{modules}/client"
user_auth_scheme_module_path = "{modules}/scheme"
plugin_module_path = "{modules}/plugin"
hash_algorithm = "SHA512"
database = {{ type = "sqlite3"; path = "{database}"; }};
"""

SCOPES = ["orders.read", "orders.write", "push.application.*"]
# Packages of the web pages, and of other databases.
NOT_NEEDED = re.compile(r"fonts-|libjs-|dbconfig|default-mysql|mariadb-client|.*-perl$")


def _by_keys_alone(text):
    """Without `validation` and the introspection table, as the page says."""
    text = bed.replaced(text, 'validation = "jwks+introspection"\n', "")
    return re.sub(r"\[issuers\.glewlwyd\.introspection\]\n(.+\n)*", "", text)


def _algorithm(plugin, name):
    """The plugin of the server whose tokens have this algorithm, and a gateway that accepts no other."""

    def edit(text):
        text = bed.replaced(_by_keys_alone(text), "/api/oidc", f"/api/{plugin}")
        return bed.replaced(text, "[issuers.glewlwyd]\n", f'[issuers.glewlwyd]\nalgorithms = ["{name}"]\n')

    return edit


# `jwt-type` and `jwt-key-size` of each plugin, and what openssl generates for it.
RSA = ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]
PLUGINS = {
    "oidc": ("rsa", "256", RSA),
    "ps256": ("rsa-pss", "256", RSA),
    "es256": ("ecdsa", "256", ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]),
    "es512": ("ecdsa", "512", ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"]),
    "eddsa": ("eddsa", "256", ["-algorithm", "ED25519"]),
}


class Server:
    title = "Glewlwyd (Debian)"
    process = "glewlwyd"
    # It issues no token without a scope.
    lesser_scope = "orders.write"
    can_rotate = True
    kinds = [
        Kind("jwt", "JWT, RS256", "glewlwyd", _by_keys_alone, True, True, False),
        Kind("ps256", "JWT, PS256", "glewlwyd", _algorithm("ps256", "PS256"), False, True, False),
        Kind("es256", "JWT, ES256", "glewlwyd", _algorithm("es256", "ES256"), False, True, False),
        Kind("es512", "JWT, ES512", "glewlwyd", _algorithm("es512", "ES512"), False, True, False),
        Kind("eddsa", "JWT, EdDSA", "glewlwyd", _algorithm("eddsa", "EdDSA"), False, True, False),
        Kind("introspected", "JWT, introspected", "glewlwyd", lambda text: text, True, True, True),
    ]

    def install(self, folder):
        self.openssl = bed.tool("openssl", "apt-get install openssl")
        installed = shutil.which("glewlwyd")
        if installed:
            self.program, self.root, self.environment = installed, "/", {}
            return
        if not bed.is_current(folder, __file__):
            self._unpack(folder)
            bed.mark(folder, __file__)
        self.program, self.root = f"{folder}/usr/bin/glewlwyd", f"{folder}/"
        libraries = [os.path.dirname(path) for path in _find(f"{folder}/usr/lib", "libyder.so")]
        self.environment = {"LD_LIBRARY_PATH": ":".join(sorted(set(libraries)))}

    def _unpack(self, folder):
        for program in ["apt-get", "dpkg-deb"]:
            bed.tool(program, "glewlwyd is a package of Debian and Ubuntu")
        command = ["apt-get", "--simulate", "--no-install-recommends", "install", "glewlwyd", "dbconfig-no-thanks"]
        plan = subprocess.run(command, capture_output=True, text=True)
        packages = [name for name in re.findall(r"^Inst (\S+)", plan.stdout, re.M) if not NOT_NEEDED.match(name)]
        if "glewlwyd" not in packages:
            raise bed.Missing(f"apt-get finds no package glewlwyd: {plan.stderr.strip()[-200:]}")
        bed.installation(["apt-get", "download", *packages], folder)
        for name in os.listdir(folder):
            if name.endswith(".deb"):
                bed.installation(["dpkg-deb", "--extract", f"{folder}/{name}", folder])
                os.remove(f"{folder}/{name}")

    def version(self):
        run = subprocess.run([self.program, "--version"], capture_output=True, text=True, env={**os.environ, **self.environment})
        return f"Glewlwyd {run.stdout.split()[-1] if run.stdout else 'of unknown version'}"

    def start(self, processes):
        database = f"{processes.folder}/glewlwyd.db"
        with gzip.open(f"{self.root}usr/share/doc/glewlwyd/database/init.sqlite3.sql.gz", "rt") as script:
            connection = sqlite3.connect(database)
            connection.executescript(script.read())
            connection.close()
        port = bed.free_port()
        configuration = f"{processes.folder}/glewlwyd.conf"
        with open(configuration, "w") as file:
            file.write(CONFIGURATION.format(port=port, modules=f"{self.root}usr/lib/glewlwyd", database=database))
        processes.start(self.process, [self.program, "--config-file", configuration], self.environment)
        self.url = f"http://127.0.0.1:{port}"
        processes.wait_for(self.process, "that it listens", lambda text: f"started on port {port}" in text or None)
        self._set_up()

    def _set_up(self):
        login = bed.call("POST", f"{self.url}/api/auth", body={"username": "admin", "password": "password"})
        self.cookie = {"Cookie": login.headers["Set-Cookie"].split(";")[0]}
        for scope in [*SCOPES, "introspect"]:
            scheme = {"display_name": scope, "description": scope, "password_required": False, "scheme": {}}
            self._administrate("POST", "scope", {"name": scope, **scheme})
        self.parameters = {}
        for plugin in PLUGINS:
            self.parameters[plugin] = self._parameters(plugin)
            self._administrate("POST", "mod/plugin/", self._plugin(plugin))
        self._add_client("app", "app-secret", SCOPES)
        self._add_client("gateway", bed.GATEWAY_SECRET, ["introspect"])

    def _parameters(self, plugin):
        kind, size, _ = PLUGINS[plugin]
        return {
            "iss": f"{self.url}/api/{plugin}",
            "jwt-type": kind,
            "jwt-key-size": size,
            **self._key_pair(plugin),
            "access-token-duration": 3600,
            "refresh-token-duration": 3600,
            "code-duration": 600,
            "auth-type-client-enabled": True,
            "allow-non-oidc": True,
            "allowed-scope": ["openid"],
            "jwks-show": True,
            "resource-allowed": True,
            "resource-scope": {scope: [bed.API, bed.OTHER_API] for scope in SCOPES},
            "introspection-revocation-allowed": True,
            "introspection-revocation-allow-target-client": True,
            "introspection-revocation-auth-scope": ["introspect"],
        }

    def _administrate(self, method, path, body):
        response = bed.call(method, f"{self.url}/api/{path}", body=body, headers=self.cookie)
        assert response.status == 200, f"expected 200 of {path}, but found {response}"

    def _plugin(self, name, **changed):
        parameters = {**self.parameters[name], **changed}
        return {"module": "oidc", "name": name, "display_name": name, "parameters": parameters}

    def _add_client(self, client, secret, scopes):
        settings = {
            "client_id": client,
            "name": client,
            "confidential": True,
            "password": secret,
            "enabled": True,
            "scope": scopes,
            "authorization_type": ["client_credentials"],
            "token_endpoint_auth_method": ["client_secret_basic"],
            "redirect_uri": [],
            "resource": [bed.API, bed.OTHER_API],
        }
        self._administrate("POST", "client/", settings)

    def _key_pair(self, plugin):
        new = [self.openssl, "genpkey", *PLUGINS[plugin][2]]
        private = subprocess.run(new, check=True, capture_output=True, text=True).stdout
        public = [self.openssl, "pkey", "-pubout"]
        public = subprocess.run(public, input=private, check=True, capture_output=True, text=True).stdout
        return {"key": private, "cert": public}

    def _change(self, plugin, **parameters):
        """Changes a plugin as an administrator would, without a restart."""
        self._administrate("PUT", f"mod/plugin/{plugin}", self._plugin(plugin, **parameters))
        self._administrate("PUT", f"mod/plugin/{plugin}/reset", {})

    def has_audiences(self, _kind):
        return True

    def token(self, kind, client, scope, api):
        plugin = kind.name if kind.name in PLUGINS else "oidc"
        if client == "hasty":
            self._change(plugin, **{"access-token-duration": 2})
        try:
            form = {"scope": scope, "resource": api}
            return bed.access_token(f"{self.url}/api/{plugin}/token", ("app", "app-secret"), form)
        finally:
            if client == "hasty":
                self._change(plugin)

    def revoke(self, _kind, token):
        form = {"scope": "introspect"}
        own = bed.access_token(f"{self.url}/api/oidc/token", ("gateway", bed.GATEWAY_SECRET), form)
        headers = {"Authorization": f"Bearer {own}"}
        response = bed.call("POST", f"{self.url}/api/oidc/revoke", form={"token": token}, headers=headers)
        assert response.status == 200, f"expected 200, but found {response}"

    def rotate(self):
        for plugin, parameters in self.parameters.items():
            parameters.update(self._key_pair(plugin))
            self._change(plugin)

    # It has one key pair, or a JWK set that the administrator writes.
    keeps_old_key = False


def _find(folder, beginning):
    for parent, _, names in os.walk(folder):
        yield from (os.path.join(parent, name) for name in names if name.startswith(beginning))
