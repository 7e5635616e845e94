// A mail server that takes every mail, for tests.
import { createServer } from "node:net";

/** Decodes quoted-printable text. @param {string} text */
const decoded = (text) =>
  Buffer.from(
    text
      .replaceAll("=\r\n", "")
      .replace(/=([0-9A-F]{2})/g, (_, digits) => String.fromCharCode(Number.parseInt(digits, 16))),
    "latin1",
  ).toString();

/** Starts one: its mails, decoded, and the settings of a Fairline that sends to it. */
export async function mailbox() {
  /** @type {string[]} */
  const mails = [];
  const server = createServer((socket) => {
    let text = "",
      isContent = false;
    socket.setEncoding("latin1");
    socket.on("error", () => {});
    const answer = (/** @type {string} */ line) => socket.write(`${line}\r\n`);
    answer("220 mailbox");
    socket.on("data", (part) => {
      text += part;
      for (;;) {
        const end = text.indexOf(isContent ? "\r\n.\r\n" : "\r\n");
        if (end < 0) return;
        const line = text.slice(0, end);
        text = text.slice(end + (isContent ? 5 : 2));
        if (isContent) {
          mails.push(decoded(line));
          isContent = false;
          answer("250 taken");
        } else if (line === "DATA") {
          isContent = true;
          answer("354 go on");
        } else if (line === "QUIT") socket.end("221 bye\r\n");
        else answer("250 well");
      }
    });
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", () => done(null)));
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  const settings = {
    FAIRLINE_SMTP: `smtp://127.0.0.1:${port}?tls=off`,
    FAIRLINE_MAIL_FROM: "Arena Tickets <tickets@arena.example>",
  };
  return { mails, settings, end: () => server.close() };
}
