// Asks the issuer of the test about tokens, with oauth4webapi and with openid-client. Writes a line of
// JSON with each answer. Arguments: the issuer, the id and the secret of the client, and the tokens.

import * as oauth from "oauth4webapi";
import * as openid from "openid-client";

const [issuer, id, secret, ...tokens] = process.argv.slice(2);
const write = (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`);

const insecure = { [oauth.allowInsecureRequests]: true };
const discovery = await oauth.discoveryRequest(new URL(issuer), { ...insecure, algorithm: "oauth2" });
const as = await oauth.processDiscoveryResponse(new URL(issuer), discovery);
const client = { client_id: id };
for (const method of [oauth.ClientSecretBasic(secret), oauth.ClientSecretPost(secret)]) {
  for (const token of tokens) {
    const response = await oauth.introspectionRequest(as, client, method, token, insecure);
    write(await oauth.processIntrospectionResponse(as, client, response));
  }
}

const config = await openid.discovery(new URL(issuer), id, secret, undefined, {
  algorithm: "oauth2",
  execute: [openid.allowInsecureRequests],
});
for (const token of tokens) write(await openid.tokenIntrospection(config, token));

const other = oauth.ClientSecretBasic(`${secret}x`);
const rejected = await oauth.introspectionRequest(as, client, other, tokens[0], insecure);
write({ status: rejected.status, error: (await rejected.json()).error });
