"""The servers of PyPI's mcp and fastmcp, as their documentation shows them: without sessions, with responses in JSON.

    python python_server.py mcp|fastmcp [PORT]

Prints its URL. GET /seen says which operations its parser found and which tools ran; ./smuggling judges them.
"""

import collections
import socket
import sys

import uvicorn
from starlette.responses import JSONResponse

NOTE = "Notes are kept in memory."
TEXTS = {"read_note": NOTE, "delete_note": f"deleted: {NOTE}", "rename_note": "renamed"}

operations = collections.Counter()
tools = collections.Counter()


def count(method, params):
    """Counts an operation that the parser of the server found."""
    get = params.get if hasattr(params, "get") else lambda name: getattr(params, name, None)
    operations[f"{method or 'response'} {get('name') or get('uri') or ''}"] += 1


def tool(tool_name):
    def run(name: str) -> str:
        tools[tool_name] += 1
        return TEXTS[tool_name]

    return run


async def seen(_):
    return JSONResponse({"operations": operations, "tools": tools})


def mcp_application():
    from mcp.server.mcpserver import MCPServer

    async def observe(context, call_next):
        count(context.method, context.params)
        return await call_next(context)

    server = MCPServer("notes", middleware=[observe], log_level="CRITICAL")
    for name in TEXTS:
        server.tool(name, structured_output=False)(tool(name))
    server.custom_route("/seen", methods=["GET"])(seen)
    return server.streamable_http_app(json_response=True, stateless_http=True)


def fastmcp_application():
    import fastmcp
    from fastmcp.server.middleware import Middleware

    class Observe(Middleware):
        async def on_message(self, context, call_next):
            count(context.method, context.message)
            return await call_next(context)

    fastmcp.settings.log_level = "CRITICAL"
    server = fastmcp.FastMCP("notes", middleware=[Observe()])
    for name in TEXTS:
        server.tool(name, output_schema=None)(tool(name))
    server.custom_route("/seen", methods=["GET"])(seen)
    return server.http_app(path="/mcp", json_response=True, stateless_http=True)


application = {"mcp": mcp_application, "fastmcp": fastmcp_application}[sys.argv[1]]()
listener = socket.create_server(("127.0.0.1", int((sys.argv[2:] or [0])[0])))
# asyncio sets it only for sockets that it made itself. Without it, each response takes 40 ms.
listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
# A connection that comes now waits until the server accepts it.
print(f"http://127.0.0.1:{listener.getsockname()[1]}/mcp", flush=True)
# What a request gets wrong is no event of its own.
configuration = uvicorn.Config(application, log_level="critical", access_log=False)
uvicorn.Server(configuration).run(sockets=[listener])
