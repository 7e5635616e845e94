// The five proxies with the gate before a site, each with its configuration from the repository: other ports, and an
// event of its name.
import { spawn } from "node:child_process";
import { mkdir, open, readFile, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { freePort, programs } from "./server.js";

const repository = new URL("../", import.meta.url).pathname;
const installed = (/** @type {string} */ name) => join(dirname(programs), "gate-proxies/bin", name);
const around =
  "pid p; error_log e; events {} http { access_log off; client_body_temp_path b; proxy_temp_path x; " +
  "fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s; include protect-any-site.conf; }";

/** By proxy: its files, what the first one listens at as it is written and here, its command, and further files. */
const known = {
  nginx: {
    files: ["nginx/protect-any-site.conf"],
    listens: ["listen 80;", (port) => `listen 127.0.0.1:${port};`],
    command: (folder) => ["nginx", "-p", folder, "-c", join(folder, "nginx.conf"), "-g", "daemon off;"],
    more: { "nginx.conf": around },
  },
  traefik: {
    files: ["docs/gate/traefik.yaml", "docs/gate/traefik-site.yaml"],
    listens: ['":80"', (port) => `"127.0.0.1:${port}"`],
    command: () => [installed("traefik"), "--configFile=traefik.yaml"],
  },
  caddy: {
    files: ["docs/gate/Caddyfile"],
    listens: [":80 {", (port) => `http://:${port} {`],
    command: () => [installed("caddy"), "run", "--config", "Caddyfile"],
  },
  envoy: {
    files: ["docs/gate/envoy.yaml"],
    listens: ["address: 0.0.0.0, port_value: 80}", (port) => `address: 127.0.0.1, port_value: ${port}}`],
    command: () => [installed("envoy"), "-c", "envoy.yaml", "--concurrency", "1", "--use-dynamic-base-id"],
  },
  haproxy: {
    files: ["docs/gate/haproxy.cfg", "docs/gate/haproxy-gate.lua"],
    listens: ["bind :80\n", (port) => `bind 127.0.0.1:${port}\n`],
    command: () => ["haproxy", "-db", "-f", "haproxy.cfg"],
  },
};
export const names = Object.keys(known);

export class Proxy {
  /**
   * @param {string} name also of its event
   * @param {{folder: string, nodes: number[], site: number}} where a folder for all proxies, and ports
   */
  static async start(name, { folder, nodes, site }) {
    const proxy = new Proxy();
    proxy.name = name;
    proxy.port = await freePort();
    const own = join(folder, name);
    await mkdir(own);
    const { files, listens, command, more = {} } = known[name];
    const ports = { 8081: nodes[0], 8082: nodes[1], 8083: nodes[2], 3000: site, 8090: await freePort() };
    for (const file of files) {
      let text = (await readFile(join(repository, file), "utf8")).replaceAll("my-event", name);
      for (const [written, port] of Object.entries(ports))
        text = text
          .replaceAll(`127.0.0.1:${written}`, `127.0.0.1:${port}`)
          .replaceAll(`port_value: ${written}}`, `port_value: ${port}}`);
      if (file === files[0]) text = once(text, listens[0], listens[1](proxy.port));
      await writeFile(join(own, basename(file)), text);
    }
    for (const [file, text] of Object.entries(more)) await writeFile(join(own, file), text);
    proxy.log = join(own, "log");
    const log = await open(proxy.log, "w");
    const [program, ...given] = command(own);
    // A group of its own, as nginx has workers.
    proxy.process = spawn(program, given, {
      cwd: own,
      env: { ...process.env, HOME: own },
      detached: true,
      stdio: ["ignore", log.fd, log.fd],
    });
    proxy.gone = new Promise((done) => proxy.process.once("exit", done).once("error", done));
    await log.close();
    return proxy;
  }

  /** Waits until the queue page is answered. */
  async ready() {
    for (let tries = 0; ; tries++) {
      const answer = await fetch(`http://127.0.0.1:${this.port}/.fairline/e/${this.name}`).catch(() => null);
      if (answer?.ok) return;
      if (tries > 400) throw new Error(`${this.name} did not come up: ${await readFile(this.log, "utf8")}`);
      await new Promise((later) => setTimeout(later, 50));
    }
  }

  async end() {
    if (this.process.pid) process.kill(-this.process.pid, "SIGKILL");
    await this.gone;
  }
}

function once(/** @type {string} */ text, /** @type {string} */ written, /** @type {string} */ now) {
  if (text.split(written).length !== 2) throw new Error(`not once in the file: ${written}`);
  return text.replace(written, now);
}
