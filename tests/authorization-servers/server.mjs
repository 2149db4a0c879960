// The servers of `run`: a certified authorization server, and an upstream that counts its requests. They are two
// processes, so that one can be killed without the other. Each prints its address once it listens.

import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";

const roles = { issuer, upstream };
const role = roles[process.argv[2]];
if (!role) {
  console.error("usage: node server.mjs issuer|upstream");
  process.exit(2);
}
const server = createServer();
server.listen(0, "127.0.0.1", async () => {
  const address = `http://127.0.0.1:${server.address().port}`;
  server.on("request", await role(address));
  console.log(address);
});

async function issuer(address) {
  const { Provider } = await import("oidc-provider");

  // The last segment of a resource selects the format of its tokens.
  const forms = {
    rs256: { accessTokenFormat: "jwt", jwt: { sign: { alg: "RS256" } } },
    ps256: { accessTokenFormat: "jwt", jwt: { sign: { alg: "PS256" } } },
    es256: { accessTokenFormat: "jwt", jwt: { sign: { alg: "ES256" } } },
    eddsa: { accessTokenFormat: "jwt", jwt: { sign: { alg: "EdDSA" } } },
    opaque: { accessTokenFormat: "opaque" },
  };
  const scope = "messages.read messages.write push.application.*";

  const client = (id, more) => ({
    client_id: id,
    client_secret: `${id}-secret`,
    grant_types: ["client_credentials"],
    redirect_uris: [],
    response_types: [],
    ...more,
  });

  const provider = new Provider(address, {
    // One RSA key for RS256 and PS256, as many servers do.
    jwks: {
      keys: [
        key("rsa", "rsa", { modulusLength: 2048 }),
        key("p256", "ec", { namedCurve: "P-256" }),
        key("ed25519", "ed25519", {}),
      ],
    },
    scopes: scope.split(" "),
    clients: [
      client("app"),
      client("hasty"), // its tokens are short-lived
      client("gateway", { introspection_signed_response_alg: "RS256" }),
    ],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      revocation: { enabled: true },
      introspection: { enabled: true, allowedPolicy: (_context, client) => client.clientId === "gateway" },
      jwtIntrospection: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_context, resource, client) => ({
          scope,
          audience: resource,
          accessTokenTTL: client.clientId === "hasty" ? 2 : 600,
          ...forms[resource.split("/").pop()],
        }),
      },
    },
  });
  return provider.callback();
}

async function upstream() {
  let hits = 0;
  return (request, response) => {
    request.resume();
    if (request.url === "/hits") {
      response.end(`${hits}\n`);
      return;
    }
    hits += 1;
    response.end(`${request.method} ${request.url}\n`);
  };
}

// New keys at each start: no signing key is checked in.
function key(kid, type, options) {
  const { privateKey } = generateKeyPairSync(type, options);
  return { ...privateKey.export({ format: "jwk" }), kid, use: "sig" };
}
