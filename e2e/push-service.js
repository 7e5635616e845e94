// A push service that decrypts what a site sends, and verifies who sent it, for tests.
import { createDecipheriv, createECDH, createPublicKey, hkdfSync, randomBytes, verify } from "node:crypto";
import { createServer } from "node:http";

/** Key of a content, and its nonce, of 16 and 12 bytes. */
const derive = (secret, salt, info, bytes) => Buffer.from(hkdfSync("sha256", secret, salt, info, bytes));

/** Verifies the token of a request (RFC 8292). Throws why it is none. */
function check(header, audience) {
  const [, token, key] = header.match(/^vapid t=([\w.-]+), k=([\w-]+)$/);
  const [head, claims, signature] = token.split(".");
  const point = Buffer.from(key, "base64url");
  const [x, y] = [point.subarray(1, 33), point.subarray(33)].map((part) => part.toString("base64url"));
  const site = createPublicKey({ key: { kty: "EC", crv: "P-256", x, y }, format: "jwk" });
  const signed = Buffer.from(`${head}.${claims}`);
  const options = { key: site, dsaEncoding: "ieee-p1363" };
  if (!verify("sha256", signed, options, Buffer.from(signature, "base64url"))) throw new Error("a bad signature");
  const { aud, exp, sub } = JSON.parse(Buffer.from(claims, "base64url").toString());
  const seconds = exp - Date.now() / 1000;
  if (aud !== audience || seconds < 0 || seconds > 86400 || !/^(mailto|https):/.test(sub))
    throw new Error("bad claims");
  return key;
}

/** Starts one: the subscription of its browser, the contents of its messages, and the keys of their senders. */
export async function pushService() {
  const browser = createECDH("prime256v1"),
    auth = randomBytes(16),
    messages = [],
    senders = [],
    wrong = [];
  browser.generateKeys();
  /** @param {Buffer} body */
  const decrypt = (body) => {
    const salt = body.subarray(0, 16),
      site = body.subarray(21, 86);
    const info = Buffer.concat([Buffer.from("WebPush: info\0"), browser.getPublicKey(), site]);
    const secret = derive(browser.computeSecret(site), auth, info, 32);
    const key = derive(secret, salt, "Content-Encoding: aes128gcm\0", 16);
    const decipher = createDecipheriv("aes-128-gcm", key, derive(secret, salt, "Content-Encoding: nonce\0", 12));
    decipher.setAuthTag(body.subarray(-16));
    const padded = Buffer.concat([decipher.update(body.subarray(86, -16)), decipher.final()]);
    return padded.subarray(0, padded.lastIndexOf(2)).toString();
  };
  const server = createServer(async (request, answer) => {
    const parts = [];
    for await (const part of request) parts.push(part);
    try {
      const { authorization, "content-encoding": encoding, ttl, urgency } = request.headers;
      if (encoding !== "aes128gcm" || !/^\d+$/.test(String(ttl)) || urgency !== "high") throw new Error("bad headers");
      senders.push(check(authorization, url));
      messages.push(decrypt(Buffer.concat(parts)));
      answer.writeHead(201).end();
    } catch (problem) {
      wrong.push(String(problem));
      answer.writeHead(400).end();
    }
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", () => done(null)));
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  const url = `http://127.0.0.1:${port}`;
  const keys = { p256dh: browser.getPublicKey("base64url"), auth: auth.toString("base64url") };
  return { subscription: { endpoint: `${url}/send/1`, keys }, messages, senders, wrong, end: () => server.close() };
}
