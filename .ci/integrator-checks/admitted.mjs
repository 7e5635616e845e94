// Whether functions for Node accept tokens: the document's, with jose, and jsonwebtoken with jwks-rsa. Reads
// {url, event, algorithms, tokens}, writes {"jose": [true, …], "jsonwebtoken": […]}.
import { readFileSync } from "node:fs";
import jwt from "jsonwebtoken";
import { JwksClient } from "jwks-rsa";
import { admitted } from "./from-document.mjs";

const { url, event, algorithms, tokens } = JSON.parse(readFileSync(0, "utf8"));
const client = new JwksClient({ jwksUri: `${url}/.well-known/jwks.json` });

async function byJsonwebtoken(token) {
  const { header } = jwt.decode(token, { complete: true });
  const key = await client.getSigningKey(header.kid);
  if (header.typ !== "admission+jwt" || header.crit) throw new Error("not an admission token");
  return jwt.verify(token, key.getPublicKey(), { algorithms, issuer: url, audience: event, clockTolerance: 5 });
}

async function accepts(verify, token) {
  try {
    return Boolean(await verify(token));
  } catch {
    return false;
  }
}

const all = async (verify) => Promise.all(tokens.map((token) => accepts(verify, token)));
console.log(JSON.stringify({ jose: await all(admitted), jsonwebtoken: await all(byJsonwebtoken) }));
