// Signs and verifies webhooks with libraries of their senders. The interface is that of `webhooks.py`.

import { createServer } from "node:http";
import { createPrivateKey, createPublicKey, sign, verify } from "node:crypto";
import { sign as signGithub, verify as verifyGithub } from "@octokit/webhooks-methods";
import { Webhook } from "standardwebhooks";
import Stripe from "stripe";

const stripe = new Stripe("sk_test_unused");

// The library has no v1a, so this is what the specification says.
const okp = { kty: "OKP", crv: "Ed25519" };
const raw = (text) => Buffer.from(text.slice(text.indexOf("_") + 1), "base64");
const url = (bytes) => bytes.toString("base64url");

const formats = {
  standard: {
    sign: ({ secret, id, body }) => {
      const now = new Date();
      return {
        "webhook-id": id,
        "webhook-timestamp": String(Math.floor(now / 1000)),
        "webhook-signature": new Webhook(secret).sign(id, now, body),
      };
    },
    verify: ({ secret, headers, body }) => new Webhook(secret).verify(body, headers),
  },
  v1a: {
    sign: ({ secret, id, body }) => {
      const [seed, x] = [raw(secret).subarray(0, 32), raw(secret).subarray(32)];
      const key = createPrivateKey({ key: { ...okp, d: url(seed), x: url(x) }, format: "jwk" });
      const timestamp = String(Math.floor(Date.now() / 1000));
      const signature = sign(null, Buffer.from(`${id}.${timestamp}.${body}`), key);
      return {
        "webhook-id": id,
        "webhook-timestamp": timestamp,
        "webhook-signature": `v1a,${signature.toString("base64")}`,
      };
    },
    verify: ({ secret, headers, body }) => {
      const key = createPublicKey({ key: { ...okp, x: url(raw(secret)) }, format: "jwk" });
      const content = `${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${body}`;
      const found = headers["webhook-signature"].split(" ").some((entry) => {
        const [version, signature] = entry.split(",");
        return version === "v1a" && verify(null, Buffer.from(content), key, Buffer.from(signature, "base64"));
      });
      if (!found) throw new Error("no signature matches");
    },
  },
  github: {
    sign: async ({ secret, body }) => ({ "x-hub-signature-256": await signGithub(secret, body) }),
    verify: async ({ secret, headers, body }) => {
      if (!(await verifyGithub(secret, body, headers["x-hub-signature-256"]))) throw new Error("no signature matches");
    },
  },
  stripe: {
    sign: ({ secret, body }) => ({
      "stripe-signature": stripe.webhooks.generateTestHeaderString({ payload: body, secret }),
    }),
    verify: ({ secret, headers, body }) => stripe.webhooks.constructEvent(body, headers["stripe-signature"], secret),
  },
};

// Sends a webhook to `to`, with `sent` as its body.
async function send({ format, secret, id, body, sent, to }) {
  const headers = await formats[format].sign({ secret, id, body });
  const response = await fetch(to, { method: "POST", headers, body: sent });
  return String(response.status);
}

const server = createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks).toString();
  try {
    if (request.url === "/send") return response.end(await send(JSON.parse(body)));
    const format = formats[request.url.slice("/verify/".length)];
    await format.verify({ secret: request.headers["x-secret"], headers: request.headers, body });
    response.end("verified");
  } catch (error) {
    response.writeHead(401).end(String(error));
  }
});
server.listen(0, "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${server.address().port}`));
