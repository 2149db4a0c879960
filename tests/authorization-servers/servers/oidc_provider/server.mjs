// An authorization server with clients for each format of tokens. It prints its address once it listens.

import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";

import { Provider } from "oidc-provider";

// A client's ID ends with the format of its tokens.
const formats = {
  rs256: { accessTokenFormat: "jwt", jwt: { sign: { alg: "RS256" } } },
  ps256: { accessTokenFormat: "jwt", jwt: { sign: { alg: "PS256" } } },
  es256: { accessTokenFormat: "jwt", jwt: { sign: { alg: "ES256" } } },
  eddsa: { accessTokenFormat: "jwt", jwt: { sign: { alg: "EdDSA" } } },
  opaque: { accessTokenFormat: "opaque" },
};
const scope = "orders.read orders.write push.application.*";

const client = (id, secret, more) => ({
  client_id: id,
  client_secret: secret,
  grant_types: ["client_credentials"],
  redirect_uris: [],
  response_types: [],
  ...more,
});

function provider(address) {
  return new Provider(address, {
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
      ...Object.keys(formats).flatMap((format) => [
        client(`app-${format}`, "app-secret"),
        client(`hasty-${format}`, "hasty-secret"), // its tokens are short-lived
      ]),
      client("gateway", process.env.GATEWAY_SECRET, { introspection_signed_response_alg: "RS256" }),
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
          accessTokenTTL: client.clientId.startsWith("hasty-") ? 2 : 600,
          ...formats[client.clientId.split("-").pop()],
        }),
      },
    },
  });
}

// New keys at each start: no signing key is checked in.
function key(kid, type, options) {
  const { privateKey } = generateKeyPairSync(type, options);
  return { ...privateKey.export({ format: "jwk" }), kid, use: "sig" };
}

const server = createServer();
server.listen(0, "127.0.0.1", () => {
  const address = `http://127.0.0.1:${server.address().port}`;
  server.on("request", provider(address).callback());
  console.log(address);
});
