"""The client of PyPI's fastmcp, with what it brings for OAuth. It knows the URL of the MCP server and nothing else.

    python fastmcp_client.py URL

Prints one line of JSON per event; ./run judges them.
"""

import asyncio
import json
import re
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import webbrowser

from fastmcp import Client


knows_client = threading.Event()


def report(event, **facts):
    print(json.dumps({"event": event, **facts}), flush=True)


def press(address):
    """A person who presses the button of the page. The browser then goes to the client's own server."""
    query = urllib.parse.parse_qs(urllib.parse.urlsplit(address).query)
    page = urllib.request.urlopen(address, timeout=10).read().decode()
    request = re.search(r'name="request" value="([^"]+)"', page).group(1)
    if not knows_client.is_set():
        knows_client.set()
        report("registered", has_id=bool(query.get("client_id")))
    report("consent", scope=query.get("scope", [None])[0], resource=query.get("resource", [None])[0])
    form = urllib.parse.urlencode({"request": request}).encode()
    wait_for(urllib.parse.urlsplit(query["redirect_uri"][0]).port)
    back = urllib.request.urlopen(urllib.parse.urljoin(address, "/authorize"), data=form, timeout=10).geturl()
    found = urllib.parse.parse_qs(urllib.parse.urlsplit(back).query)
    report("redirected", state="a state" if found.get("state") == query.get("state") else None, iss=found.get("iss", [None])[0])


def wait_for(port):
    """Waits until the client's own server listens."""
    for _ in range(100):
        try:
            urllib.request.urlopen(f"http://localhost:{port}/", timeout=1)
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)


def open_browser(address, *_):
    threading.Thread(target=press, args=[address], daemon=True).start()
    return True


webbrowser.open = open_browser


async def main(url):
    async with Client(url, auth="oauth") as client:
        report("listed", tools=[tool.name for tool in await client.list_tools()])
        for tool in ["read_note", "delete_note", "rename_note"]:
            try:
                result = await client.call_tool(tool, {"name": "welcome"})
                report("called", tool=tool, text=result.content[0].text)
            except Exception as error:
                report("refused", tool=tool, error=repr(error)[:300])


asyncio.run(main(sys.argv[1]))
