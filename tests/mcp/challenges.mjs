// Reads the metadata and the challenges of a protected resource with npm's oauth4webapi.
//
//     node challenges.mjs URL TOKEN BODY
//
// Prints the metadata and the challenges without a good token and with TOKEN as JSON; ./run judges them. The package
// is loaded from the current folder.

import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const packages = createRequire(`${process.cwd()}/challenges.mjs`);
const oauth = await import(pathToFileURL(packages.resolve("oauth4webapi")));

const [address, token, body] = process.argv.slice(2);
const url = new URL(address);
// For loopback.
const options = { [oauth.allowInsecureRequests]: true };

const response = await oauth.resourceDiscoveryRequest(url, options);
const metadata = await oauth.processResourceDiscoveryResponse(url, response);

async function challenge(token) {
  const headers = new Headers({ "Content-Type": "application/json", Accept: "application/json, text/event-stream" });
  try {
    const { status } = await oauth.protectedResourceRequest(token, "POST", url, headers, body, options);
    return { status };
  } catch (error) {
    if (!(error instanceof oauth.WWWAuthenticateChallengeError)) throw error;
    return { status: error.status, challenges: error.cause };
  }
}

console.log(JSON.stringify({ metadata, unauthenticated: await challenge("garbage"), insufficient: await challenge(token) }));
