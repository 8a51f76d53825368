// Verifies access tokens with jose. The arguments and the output are those of `verify_tokens.py`.

import { createRemoteJWKSet, jwtVerify } from "jose";

const [url, issuer, audience, algorithm, ...tokens] = process.argv.slice(2);
const keys = createRemoteJWKSet(new URL(url));
const options = {
  issuer,
  audience,
  algorithms: [algorithm],
  typ: "at+jwt",
  requiredClaims: ["exp", "iat", "sub", "jti", "client_id"],
};
for (const token of tokens) {
  let result;
  try {
    result = (await jwtVerify(token, keys, options)).payload;
  } catch (error) {
    result = error.constructor.name;
  }
  console.log(JSON.stringify(result));
}
