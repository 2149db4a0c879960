// A server of npm's @modelcontextprotocol/sdk with sessions, streams that are resumed, sampling, elicitation and
// subscriptions. It has the tools, resources and prompts that the scenarios of npm's @modelcontextprotocol/conformance use.
//
//     node everything_server.mjs
//
// Prints its URL. The SDK is loaded from the current folder.

import { randomUUID } from "node:crypto";
import { createRequire } from "node:module";
import { setTimeout as delay } from "node:timers/promises";
import { pathToFileURL } from "node:url";

const packages = createRequire(`${process.cwd()}/everything_server.mjs`);
const load = (name) => import(pathToFileURL(packages.resolve(name)));
const { McpServer, ResourceTemplate } = await load("@modelcontextprotocol/sdk/server/mcp.js");
const { StreamableHTTPServerTransport } = await load("@modelcontextprotocol/sdk/server/streamableHttp.js");
const types = await load("@modelcontextprotocol/sdk/types.js");
const { z } = await load("zod");
const { default: express } = await load("express");

const text = (value) => ({ type: "text", text: value });
const textResource = (uri, value, mimeType = "text/plain") => ({ uri, mimeType, text: value });
const embedded = (uri, value, mimeType) => ({ type: "resource", resource: textResource(uri, value, mimeType) });
const png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==";
const wav = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA=";
const image = { type: "image", data: png, mimeType: "image/png" };

function addTools(server) {
  const tool = (name, run, inputSchema = {}) => server.registerTool(name, { description: name, inputSchema }, run);
  const constant = (name, ...content) => server.registerTool(name, { description: name }, () => ({ content }));
  constant("test_simple_text", text("This is a simple text response for testing."));
  constant("test_image_content", image);
  constant("test_audio_content", { type: "audio", data: wav, mimeType: "audio/wav" });
  constant("test_embedded_resource", embedded("test://embedded-resource", "This is an embedded resource content."));
  const mixed = embedded("test://mixed-content-resource", '{"test":"data","value":123}', "application/json");
  constant("test_multiple_content_types", text("Multiple content types test:"), image, mixed);
  tool("test_error_handling", () => {
    throw new Error("This tool intentionally returns an error for testing");
  });
  tool("test_tool_with_logging", async (_, { sendNotification }) => {
    for (const data of ["Tool execution started", "Tool processing data", "Tool execution completed"]) {
      await sendNotification({ method: "notifications/message", params: { level: "info", data } });
      await delay(50);
    }
    return { content: [text("done")] };
  });
  tool("test_tool_with_progress", async (_, { sendNotification, _meta }) => {
    const progressToken = _meta?.progressToken ?? 0;
    for (const progress of [0, 50, 100]) {
      const params = { progressToken, progress, total: 100, message: `step ${progress}` };
      await sendNotification({ method: "notifications/progress", params });
      await delay(50);
    }
    return { content: [text(String(progressToken))] };
  });
  tool("test_reconnection", async (_, { closeSSEStream }) => {
    closeSSEStream?.();
    await delay(100);
    return { content: [text("Reconnection test completed successfully.")] };
  });
  const sample = async ({ prompt }, { sendRequest }) => {
    const params = { messages: [{ role: "user", content: text(prompt) }], maxTokens: 100 };
    const result = await sendRequest({ method: "sampling/createMessage", params }, types.CreateMessageResultSchema);
    return { content: [text(`LLM response: ${result.content.text}`)] };
  };
  tool("test_sampling", sample, { prompt: z.string() });
  addElicitations(tool);
}

// Tools that ask the user through the client.
function addElicitations(tool) {
  const elicit = (name, properties, required, input) => {
    const run = async ({ message = "Please answer" }, { sendRequest }) => {
      const params = { message, requestedSchema: { type: "object", properties, required } };
      const { action, content } = await sendRequest({ method: "elicitation/create", params }, types.ElicitResultSchema);
      return { content: [text(`User response: action=${action}, content=${JSON.stringify(content)}`)] };
    };
    tool(name, run, input);
  };
  const names = { username: { type: "string" }, email: { type: "string" } };
  elicit("test_elicitation", names, Object.keys(names), { message: z.string() });
  const defaults = {
    name: { type: "string", default: "John Doe" },
    age: { type: "integer", default: 30 },
    score: { type: "number", default: 95.5 },
    status: { type: "string", enum: ["active", "inactive", "pending"], default: "active" },
    verified: { type: "boolean", default: true },
  };
  elicit("test_elicitation_sep1034_defaults", defaults, []);
  const titled = ["1", "2", "3"].map((value) => ({ const: `value${value}`, title: `Title ${value}` }));
  const options = ["option1", "option2", "option3"];
  const enums = {
    untitledSingle: { type: "string", enum: options },
    titledSingle: { type: "string", oneOf: titled },
    legacyEnum: { type: "string", enum: ["opt1", "opt2", "opt3"], enumNames: ["One", "Two", "Three"] },
    untitledMulti: { type: "array", items: { type: "string", enum: options } },
    titledMulti: { type: "array", items: { anyOf: titled } },
  };
  elicit("test_elicitation_sep1330_enums", enums, []);
}

function addResources(server) {
  const resource = (name, uri, contents) => {
    server.registerResource(name, uri, { mimeType: contents.mimeType }, () => ({ contents: [contents] }));
  };
  const content = "This is the content of the static text resource.";
  resource("static-text", "test://static-text", textResource("test://static-text", content));
  resource("static-binary", "test://static-binary", { uri: "test://static-binary", mimeType: "image/png", blob: png });
  resource("watched", "test://watched-resource", textResource("test://watched-resource", "unchanged"));
  const template = new ResourceTemplate("test://template/{id}/data", { list: undefined });
  server.registerResource("template", template, { mimeType: "application/json" }, (uri, { id }) => {
    const value = JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` });
    return { contents: [textResource(uri.href, value, "application/json")] };
  });
  for (const schema of [types.SubscribeRequestSchema, types.UnsubscribeRequestSchema, types.SetLevelRequestSchema]) {
    server.server.setRequestHandler(schema, () => ({}));
  }
}

function addPrompts(server) {
  const user = (...contents) => ({ messages: contents.map((content) => ({ role: "user", content })) });
  const prompt = (name, run, argsSchema) => server.registerPrompt(name, { description: name, argsSchema }, run);
  prompt("test_simple_prompt", () => user(text("This is a simple prompt for testing.")));
  prompt("test_prompt_with_image", () => user(image, text("Please analyze the image above.")));
  const two = ({ arg1, arg2 }) => user(text(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`));
  prompt("test_prompt_with_arguments", two, { arg1: z.string(), arg2: z.string() });
  const process = ({ resourceUri }) =>
    user(embedded(resourceUri, "Embedded resource content for testing."), text("Please process the embedded resource above."));
  prompt("test_prompt_with_embedded_resource", process, { resourceUri: z.string() });
  server.server.setRequestHandler(types.CompleteRequestSchema, () => ({
    completion: { values: ["paris", "park"], total: 2, hasMore: false },
  }));
}

function everything() {
  const listChanged = true;
  const capabilities = {
    logging: {},
    completions: {},
    resources: { subscribe: true, listChanged },
    tools: { listChanged },
    prompts: { listChanged },
  };
  const server = new McpServer({ name: "everything", version: "1" }, { capabilities });
  addTools(server);
  addResources(server);
  addPrompts(server);
  return server;
}

// What was sent on a stream, for clients that come back (Last-Event-ID).
class Events {
  sent = [];

  async storeEvent(stream, message) {
    this.sent.push({ stream, message });
    return String(this.sent.length - 1);
  }

  async replayEventsAfter(last, { send }) {
    const { stream } = this.sent[Number(last)];
    for (const [id, event] of this.sent.entries()) {
      // An event without a message only names the stream.
      if (id > Number(last) && event.stream === stream && event.message.jsonrpc) {
        await send(String(id), event.message);
      }
    }
    return stream;
  }
}

const sessions = {};

async function newSession() {
  const transport = new StreamableHTTPServerTransport({
    sessionIdGenerator: randomUUID,
    eventStore: new Events(),
    retryInterval: 500,
    onsessioninitialized: (id) => (sessions[id] = transport),
  });
  transport.onclose = () => delete sessions[transport.sessionId];
  await everything().connect(transport);
  return transport;
}

const application = express();
application.use(express.json({ limit: "4mb" }));
// The host is not checked: the gateway and the client name different ones.
application.all("/mcp", async (request, response) => {
  const id = request.headers["mcp-session-id"];
  const refuse = (status, code, message) => response.status(status).json({ jsonrpc: "2.0", id: null, error: { code, message } });
  if (id && !sessions[id]) {
    return refuse(404, -32001, "Session not found");
  }
  if (!id && request.body?.method !== "initialize") {
    return refuse(400, -32000, "No session");
  }
  const transport = sessions[id] ?? (await newSession());
  await transport.handleRequest(request, response, request.body);
});
const listener = application.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${listener.address().port}/mcp`));
