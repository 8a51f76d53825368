// A client with DPoP: gets a token with openid-client, and uses it at a service. Writes a line of
// JSON with the status of each request. Arguments: the issuer, the URL of the service, the algorithm
// of the key, and the resource.

import * as client from "openid-client";

const [issuer, api, algorithm, resource] = process.argv.slice(2);
const write = (name, result) => process.stdout.write(`${JSON.stringify([name, result])}\n`);

// The last request to the service, and the number of requests to it.
let last,
  sent = 0;
const settings = { execute: [client.allowInsecureRequests] };
const config = await client.discovery(new URL(issuer), "dpop-service", "e2e-secret", undefined, settings);
config[client.customFetch] = (url, options) => {
  if (`${url}`.startsWith(api)) {
    last = [url, options];
    sent += 1;
  }
  return fetch(url, options);
};
const newKey = async () => client.getDPoPHandle(config, await client.randomDPoPKeyPair(algorithm));
const DPoP = await newKey();
const tokens = await client.clientCredentialsGrant(config, { scope: "read", resource }, { DPoP });
write("token_type", tokens.token_type);

/** Returns the status of a response, or the error of its challenge. */
async function result(response) {
  try {
    return (await response).status;
  } catch (error) {
    if (!(error instanceof client.WWWAuthenticateChallengeError)) throw error;
    const challenge = error.cause.find(({ scheme }) => scheme === "dpop");
    return `${error.status} ${challenge?.parameters.error}`;
  }
}

const use = (path, method, body, key = DPoP) =>
  result(
    client.fetchProtectedResource(config, tokens.access_token, new URL(path, api), method, body, undefined, {
      DPoP: key,
    }),
  );

write("get", await use("/", "GET"));
write("get with a query", await use("/?a=b&c=%20", "GET"));
write("post", await use("/orders/%C3%A4%20b?x", "POST", "body"));
write("sent", sent);
const [url, options] = last;
write("replayed", (await fetch(url, options)).status);
write("other url", (await fetch(new URL("/other", api), options)).status);
write("other method", (await fetch(url, { ...options, method: "PUT" })).status);
write("other key", await use("/", "GET", undefined, await newKey()));
const headers = { authorization: `Bearer ${tokens.access_token}` };
write("bearer", (await fetch(api, { headers })).status);
write("parallel", await Promise.all([...Array(16)].map((_, number) => use(`/${number}`, "GET"))));
