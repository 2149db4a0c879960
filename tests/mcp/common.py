"""What ./run and ./smuggling share: results, the built programs, and the packages of npm and PyPI."""

import glob
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "authorization-servers"))

import bed

REQUIRE = os.environ.get("REQUIRE") == "1"
# For the SDK.
IS_NEW_ENOUGH = "process.exit(process.versions.node.split('.')[0] >= 20 ? 0 : 1)"


class Tally:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def check(self, name, expected, found):
        if expected == found:
            self.passed += 1
            print(f"ok      {name}", flush=True)
        else:
            self.failed += 1
            print(f"FAILED  {name}: expected {expected}, but found {found}", flush=True)

    def skip(self, name, reason):
        self.skipped += 1
        print(f"SKIPPED: {name}: {reason}", file=sys.stderr, flush=True)

    def end(self):
        print(f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped")
        return 1 if self.failed or (REQUIRE and self.skipped) else 0


def build(*profile):
    """Builds the gateway and the MCP server. Returns their folder, and the one for what is installed."""
    for package in ["scopegate", "mcp-server-example"]:
        command = ["cargo", "build", "--locked", "--quiet", "--package", package, *profile]
        subprocess.run(command, cwd=ROOT, check=True)
    target = os.path.abspath(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")))
    return os.path.join(target, "release" if "--release" in profile else "debug"), os.path.join(target, "mcp-clients")


def sdk(installed):
    """Installs the SDK of npm, with its client and its server. Returns node and the folder to start it in."""
    node, npm = bed.tool("node", "node 20 or later"), bed.tool("npm", "node 20 or later")
    if subprocess.run([node, "--eval", IS_NEW_ENOUGH]).returncode:
        raise bed.Missing("node is older than 20")
    folder = os.path.join(installed, "typescript")
    _npm(npm, folder, HERE)
    return node, folder


def inspector(installed):
    """Installs the inspector of npm, apart from the SDK, of which it has another version. Returns its folder."""
    folder = os.path.join(installed, "inspector")
    _npm(bed.tool("npm", "node 20 or later"), folder, os.path.join(HERE, "inspector"))
    return folder


def _npm(npm, folder, source):
    files = [os.path.join(source, name) for name in ["package.json", "package-lock.json"]]
    if not bed.is_current(folder, *files):
        for file in files:
            shutil.copy(file, folder)
        # The lock file pins every package with its checksum. No script of a package runs.
        bed.installation([npm, "ci", "--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund"], folder)
        bed.mark(folder, *files)


def node_22(folder):
    nodes = glob.glob(f"{folder}/node_modules/node-linux-*/bin/node")
    if not nodes:
        raise bed.Missing("npm has no node 22 for this machine")
    return nodes[0]


def python(installed):
    """The Python with the packages of PyPI's mcp, and its folder."""
    return _python(os.path.join(installed, "python"), "requirements.txt")


def fastmcp(installed):
    """Likewise with PyPI's fastmcp."""
    return _python(os.path.join(installed, "fastmcp"), "fastmcp-requirements.txt")


def _python(folder, requirements):
    os.makedirs(os.path.dirname(folder), exist_ok=True)
    return bed.python_environment(folder, os.path.join(HERE, requirements)), folder


# MCP servers by the names of their packages.
SERVERS = ["rmcp", "typescript", "python", "fastmcp"]


def server_command(name, programs, installed, port):
    """The command that starts an MCP server. It prints its URL."""
    if name == "rmcp":
        return [f"{programs}/mcp-server-example", f"127.0.0.1:{port}"]
    if name == "typescript":
        node, folder = sdk(installed)
        return ["sh", "-c", f'cd "{folder}" && exec "{node}" "{HERE}/typescript_server.mjs"']
    interpreter, _ = {"python": python, "fastmcp": fastmcp}[name](installed)
    package = {"python": "mcp", "fastmcp": "fastmcp"}[name]
    return [interpreter, os.path.join(HERE, "python_server.py"), package, str(port)]


def start_gateway(processes, program, ports, folder, addition=""):
    """Starts the gateway of examples/mcp with other ports, each by that of the example, and an addition to its file."""
    with open(os.path.join(ROOT, "examples", "mcp", "gateway.toml")) as example:
        text = example.read()
    for port, own in ports.items():
        text = bed.replaced(text, f"127.0.0.1:{port}", f"127.0.0.1:{own}")
    with open(f"{folder}/gateway.toml", "w") as file:
        file.write(text + addition)
    processes.start("gateway", [program, "run", "--config", f"{folder}/gateway.toml"])
    processes.wait_for("gateway", "that it has keys", lambda text: "JWKS fetched" in text or None)
