// A proxy between browser and server that does what networks and other people's proxies do.
import { createServer as createHttpServer, request } from "node:http";
import { connect, createServer } from "node:net";

/**
 * Hands bytes on; `freeze` stops that on the connections that are open, without closing them, and not on later ones.
 */
export class Wire {
  static async start() {
    const wire = new Wire();
    wire.pairs = new Set();
    wire.server = createServer((near) => {
      const far = connect(wire.target, "127.0.0.1");
      const pair = [near, far];
      wire.pairs.add(pair);
      const end = () => {
        near.destroy();
        far.destroy();
        wire.pairs.delete(pair);
      };
      for (const side of pair) side.on("error", end).on("close", end);
      near.pipe(far).pipe(near);
    });
    await new Promise((done) => wire.server.listen(0, "127.0.0.1", done));
    wire.url = `http://127.0.0.1:${wire.server.address().port}`;
    return wire;
  }

  /** Both ends keep their connection, and hear nothing more. */
  freeze() {
    for (const [near, far] of this.pairs) {
      near.unpipe(far);
      far.unpipe(near);
      near.resume();
      far.resume();
      for (const side of [near, far]) side.removeAllListeners("close").removeAllListeners("end");
    }
  }

  end() {
    for (const pair of this.pairs) for (const side of pair) side.destroy();
    this.server.close();
  }
}

/** Hands requests on without `Set-Cookie` in the answers. */
export class Cookieless {
  static async start() {
    const proxy = new Cookieless();
    const forward = (/** @type {any} */ asked) =>
      request({ port: proxy.target, host: "127.0.0.1", path: asked.url, method: asked.method, headers: asked.headers });
    proxy.server = createHttpServer((asked, answer) => {
      const onward = forward(asked);
      onward.on("response", (got) => {
        const { "set-cookie": _, ...headers } = got.headers;
        answer.writeHead(got.statusCode, headers);
        got.pipe(answer);
      });
      onward.on("error", () => answer.destroy());
      asked.pipe(onward);
    });
    proxy.server.on("upgrade", (asked, socket) => {
      const onward = forward(asked);
      onward.on("error", () => socket.destroy());
      // Without a cookie no socket opens here.
      onward.on("response", (got) => socket.end(`HTTP/1.1 ${got.statusCode} Refused\r\nContent-Length: 0\r\n\r\n`));
      onward.on("upgrade", () => socket.destroy());
      onward.end();
    });
    await new Promise((done) => proxy.server.listen(0, "127.0.0.1", done));
    proxy.url = `http://127.0.0.1:${proxy.server.address().port}`;
    return proxy;
  }

  end() {
    this.server.closeAllConnections();
    this.server.close();
  }
}
