// Reads the metadata and the challenges of a protected resource with npm's oauth4webapi.
//
//     node challenges.mjs URL TOKEN BODY SIGNED_URL
//
// Prints as JSON the metadata and the challenges: without a good token, with TOKEN, and with TOKEN at SIGNED_URL, which
// asks for another sign-in. ./run judges them. The package is loaded from the current folder.

import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const packages = createRequire(`${process.cwd()}/challenges.mjs`);
const oauth = await import(pathToFileURL(packages.resolve("oauth4webapi")));

const [address, token, body, signedAddress] = process.argv.slice(2);
const url = new URL(address);
// For loopback.
const options = { [oauth.allowInsecureRequests]: true };

const response = await oauth.resourceDiscoveryRequest(url, options);
const metadata = await oauth.processResourceDiscoveryResponse(url, response);

async function challenge(token, target = url) {
  const headers = new Headers({ "Content-Type": "application/json", Accept: "application/json, text/event-stream" });
  try {
    const { status } = await oauth.protectedResourceRequest(token, "POST", target, headers, body, options);
    return { status };
  } catch (error) {
    if (!(error instanceof oauth.WWWAuthenticateChallengeError)) throw error;
    return { status: error.status, challenges: error.cause };
  }
}

const unauthenticated = await challenge("garbage");
const insufficient = await challenge(token);
const signed = await challenge(token, new URL(signedAddress));
console.log(JSON.stringify({ metadata, unauthenticated, insufficient, signed }));
