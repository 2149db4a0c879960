// The server of npm's @modelcontextprotocol/sdk, with Express, as the SDK's documentation shows it: without sessions.
//
//     node server.mjs
//
// Prints its URL. GET /seen tells which operations its parser found and which tools ran; ./smuggling judges them.
// The SDK is loaded from the current folder.

import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const packages = createRequire(`${process.cwd()}/server.mjs`);
const load = (name) => import(pathToFileURL(packages.resolve(name)));
const { McpServer } = await load("@modelcontextprotocol/sdk/server/mcp.js");
const { StreamableHTTPServerTransport } = await load("@modelcontextprotocol/sdk/server/streamableHttp.js");
const { default: express } = await load("express");

const operations = {};
const tools = {};
const count = (counts, name) => (counts[name] = (counts[name] ?? 0) + 1);

function notes() {
  const server = new McpServer({ name: "notes", version: "1" });
  for (const name of ["read_note", "delete_note", "rename_note"]) {
    server.registerTool(name, { description: name }, () => {
      count(tools, name);
      return { content: [{ type: "text", text: name }] };
    });
  }
  return server;
}

const application = express();
application.get("/seen", (_, response) => response.json({ operations, tools }));
application.use(express.json({ limit: "4mb" }));
application.all("/mcp", async (request, response) => {
  const found = Array.isArray(request.body) ? ["a batch"] : Object.entries(request.body ?? {}).length ? [request.body] : [];
  for (const message of found) {
    const subject = message?.params?.name ?? message?.params?.uri;
    count(operations, message === "a batch" ? message : `${message?.method ?? "response"} ${subject ?? ""}`);
  }
  const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined, enableJsonResponse: true });
  response.on("close", () => transport.close());
  await notes().connect(transport);
  await transport.handleRequest(request, response, request.body);
});
// What Express refuses ran no tool.
application.use((error, _request, response, _next) => response.status(error.status ?? 500).end());
const listener = application.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${listener.address().port}/mcp`));
