// The server of npm's @modelcontextprotocol/sdk, with Express, as the SDK's documentation shows it: without sessions.
//
//     node typescript_server.mjs
//
// Prints its URL. GET /seen says which operations its parser found and which tools ran; ./smuggling judges them.
// The SDK is loaded from the current folder.

import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const packages = createRequire(`${process.cwd()}/typescript_server.mjs`);
const load = (name) => import(pathToFileURL(packages.resolve(name)));
const { McpServer } = await load("@modelcontextprotocol/sdk/server/mcp.js");
const { StreamableHTTPServerTransport } = await load("@modelcontextprotocol/sdk/server/streamableHttp.js");
const { default: express } = await load("express");

const operations = {};
const tools = {};
const count = (counts, name) => (counts[name] = (counts[name] ?? 0) + 1);

const text = "Notes are kept in memory.";
const texts = { read_note: text, delete_note: `deleted: ${text}`, rename_note: "renamed" };

function notes() {
  const server = new McpServer({ name: "notes", version: "1" });
  for (const name of Object.keys(texts)) {
    server.registerTool(name, { description: name }, () => {
      count(tools, name);
      return { content: [{ type: "text", text: texts[name] }] };
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
