"""Runs the scenarios of npm's @modelcontextprotocol/conformance against MCP servers, and against a gateway in front of each
that permits every operation. Each check must have the same verdict, except those in expected_differences.json."""

import collections
import glob
import json
import os
import re
import subprocess
import tempfile

from common import HERE, bed, node_22, sdk

# A gateway that reads every message and permits every operation.
PUBLIC = """
[server]
listen = "127.0.0.1:{gateway}"
[upstreams.server]
targets = "http://127.0.0.1:{server}"
[[routes]]
path = "/mcp"
public = true
upstream = "server"
mcp = {{ origins = ["http://127.0.0.1:{gateway}"] }}
"""

# The minimum of scenarios and passed checks, so that nothing is compared with nothing.
MIN_SCENARIOS = 50
MIN_PASSED = {"rmcp": 70, "everything": 80}


def judge_conformance(programs, installed, tally):
    try:
        node, folder = sdk(installed)
        newer_node = node_22(folder)
    except bed.Missing as missing:
        tally.skip("conformance", str(missing))
        return
    servers = {
        "rmcp": [f"{programs}/mcp-server-example", "127.0.0.1:0"],
        "everything": ["sh", "-c", f'cd "{folder}" && exec "{node}" "{HERE}/everything_server.mjs"'],
    }
    with open(os.path.join(HERE, "expected_differences.json")) as file:
        expected = json.load(file)
    for name, command in servers.items():
        without, through = verdicts(command, programs, newer_node, folder)
        scenarios = {scenario for scenario, _ in without}
        passed = sum(found.count("SUCCESS") for found in without.values())
        tally.check(f"conformance: {name}: has scenarios, and passes checks", (True, True),
                    (len(scenarios) >= MIN_SCENARIOS, passed >= MIN_PASSED[name]))
        differences = {check: [without.get(check), through.get(check)]
                       for check in sorted({*without, *through}) if without.get(check) != through.get(check)}
        listed = {(one["scenario"], one["check"]): [one["without"], one["through"]] for one in expected if one["server"] == name}
        claim = f"conformance: {name}: {len(without)} checks have the same verdict through the gateway, but for {len(listed)} listed ones"
        tally.check(claim, listed, differences)


def verdicts(command, programs, node, packages):
    """The verdicts without the gateway, and those through it."""
    with tempfile.TemporaryDirectory(prefix="scopegate-mcp-") as folder, bed.Processes(folder) as processes:
        processes.start("server", command)
        url = processes.wait_for("server", "its address", lambda text: text.split()[0] if "http://" in text else None)
        server, gateway = int(url.split(":")[2].split("/")[0]), bed.free_port()
        with open(f"{folder}/gateway.toml", "w") as file:
            file.write(PUBLIC.format(server=server, gateway=gateway))
        processes.start("gateway", [f"{programs}/scopegate", "run", "--config", f"{folder}/gateway.toml"])
        processes.wait_for("gateway", "that it listens", lambda text: "listening" in text or None)
        return [run_scenarios(port, f"{folder}/{port}", node, packages) for port in [server, gateway]]


def run_scenarios(port, results, node, packages):
    """The verdicts of each check, by its scenario and its id. A check may have several."""
    command = [node, f"{packages}/node_modules/.bin/conformance", "server", "--suite", "all", "--timeout", "10000"]
    command += ["--url", f"http://127.0.0.1:{port}/mcp", "--output-dir", results]
    # It fails where a server has not everything, so its exit code says nothing.
    subprocess.run(command, cwd=packages, capture_output=True, text=True, timeout=300)
    found = collections.defaultdict(list)
    for path in glob.glob(f"{results}/*/checks.json"):
        scenario = re.sub(r"^server-|-\d{4}-\d\d-\d\dT.*$", "", os.path.basename(os.path.dirname(path)))
        with open(path) as file:
            for check in json.load(file):
                found[scenario, check["id"]].append(check["status"])
    return dict(found)
