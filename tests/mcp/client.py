"""The client of PyPI's mcp. It knows the URL of the MCP server and nothing else.

    python client.py URL

Prints one line of JSON per event; ./run judges them.
"""

import asyncio
import json
import re
import sys
import urllib.error
import urllib.parse
import urllib.request

from mcp import Client
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp.shared.auth import OAuthClientMetadata

REDIRECT_URI = "http://127.0.0.1:33419/callback"


def report(event, **facts):
    print(json.dumps({"event": event, **facts}), flush=True)


class Application:
    """What an application keeps for the SDK, and a person in front of a browser."""

    tokens = client = target = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client):
        if self.client is None:
            report("registered", has_id=isinstance(client.client_id, str))
        self.client = client

    async def redirect(self, address):
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(address).query)
        report("consent", scope=query.get("scope", [None])[0], resource=query.get("resource", [None])[0])
        page = await asyncio.to_thread(fetch, address)
        request = re.search(r'name="request" value="([^"]+)"', page.read().decode())
        form = urllib.parse.urlencode({"request": request.group(1)}).encode()
        pressed = await asyncio.to_thread(fetch, urllib.parse.urljoin(address, "/authorize"), form)
        self.target = urllib.parse.urlsplit(pressed.headers["Location"])

    async def callback(self):
        found = {name: values[0] for name, values in urllib.parse.parse_qs(self.target.query).items()}
        report("redirected", state=found.get("state") and "a state", iss=found.get("iss"))
        return AuthorizationCodeResult(code=found["code"], state=found.get("state"), iss=found.get("iss"))


class NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), NoRedirects)


def fetch(address, form=None):
    try:
        return opener.open(address, data=form, timeout=10)
    except urllib.error.HTTPError as response:
        return response


def cause(error):
    """The first error in groups of groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def call(client, tool):
    try:
        result = await client.call_tool(tool, {"name": "welcome"})
        report("called", tool=tool, text=result.content[0].text)
    except Exception as error:
        # The SDK does not report the status.
        report("refused", tool=tool, error=repr(cause(error)))


async def main(url):
    application = Application()
    metadata = OAuthClientMetadata(client_name="Python", redirect_uris=[REDIRECT_URI])
    provider = OAuthClientProvider(url, metadata, application, application.redirect, application.callback)
    async with create_mcp_http_client(auth=provider) as http:
        async with Client(streamable_http_client(url, http_client=http)) as client:
            tools = await client.list_tools()
            report("listed", tools=[tool.name for tool in tools.tools])
            for tool in ["read_note", "delete_note", "rename_note"]:
                await call(client, tool)


asyncio.run(main(sys.argv[1]))
