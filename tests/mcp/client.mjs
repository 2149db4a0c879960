// The client of npm's @modelcontextprotocol/sdk, or of its successor @modelcontextprotocol/client. It knows the URL of the
// MCP server and nothing else.
//
//     node client.mjs URL [client]
//
// Prints one line of JSON per event; ./run judges them. The SDK is loaded from the current folder.

import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const packages = createRequire(`${process.cwd()}/client.mjs`);
const load = (name) => import(pathToFileURL(packages.resolve(`@modelcontextprotocol/${name}`)));
const modules = process.argv[3] ? ["client"] : ["sdk/client/index.js", "sdk/client/streamableHttp.js", "sdk/client/auth.js"];
const { Client, StreamableHTTPClientTransport, UnauthorizedError } = Object.assign({}, ...(await Promise.all(modules.map(load))));

const url = new URL(process.argv[2]);
const print = (event) => console.log(JSON.stringify(event));

// What an application keeps for the SDK, and a person in front of a browser.
class Application {
  redirectUrl = "http://127.0.0.1:33418/callback";
  clientMetadata = {
    client_name: "TypeScript",
    redirect_uris: [this.redirectUrl],
    grant_types: ["authorization_code", "refresh_token"],
    response_types: ["code"],
    token_endpoint_auth_method: "none",
  };
  state = () => "a state";
  clientInformation = () => this.client;
  saveClientInformation = (client) => {
    this.client = client;
    print({ event: "registered", has_id: typeof client.client_id === "string" });
  };
  tokens = () => this.token;
  saveTokens = (token) => (this.token = token);
  codeVerifier = () => this.verifier;
  saveCodeVerifier = (verifier) => (this.verifier = verifier);

  async redirectToAuthorization(address) {
    print({ event: "consent", scope: address.searchParams.get("scope"), resource: address.searchParams.get("resource") });
    const page = await (await fetch(address)).text();
    const request = /name="request" value="([^"]+)"/.exec(page);
    if (!request) {
      throw new Error(`expected a page with a button, but found ${page}`);
    }
    const pressed = await fetch(new URL("/authorize", address), {
      method: "POST",
      body: new URLSearchParams({ request: request[1] }),
      redirect: "manual",
    });
    const target = new URL(pressed.headers.get("location"));
    print({ event: "redirected", state: target.searchParams.get("state"), iss: target.searchParams.get("iss") });
    this.answer = [target.searchParams.get("code"), target.searchParams.get("iss")];
  }
}

const application = new Application();
let client, transport;

async function connect() {
  client = new Client({ name: "typescript", version: "1" });
  transport = new StreamableHTTPClientTransport(url, { authProvider: application });
  await client.connect(transport);
}

// Does something that may need a person first, once.
async function attempt(action) {
  try {
    return await action();
  } catch (error) {
    if (!(error instanceof UnauthorizedError)) {
      throw error;
    }
    await transport.finishAuth(...application.answer);
    return await action();
  }
}

async function call(name) {
  try {
    const result = await attempt(() => client.callTool({ name, arguments: { name: "welcome" } }));
    print({ event: "called", tool: name, text: result.content[0].text });
  } catch (error) {
    print({ event: "refused", tool: name, error: String(error) });
  }
}

await attempt(connect);
const { tools } = await client.listTools();
print({ event: "listed", tools: tools.map((tool) => tool.name) });
for (const name of ["read_note", "delete_note", "rename_note"]) {
  await call(name);
}
await client.close();
