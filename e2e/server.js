// A private Fairline for a test: free ports, a temporary folder, gone at the end.
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

const binary = process.env.FAIRLINE_BINARY;
if (!binary) throw new Error("FAIRLINE_BINARY names no program: run `make test`");
/** Folder of our programs. */
export const programs = dirname(binary);
export const KEY = "browser-test-organiser-key";

let asked = 0;
/** A free port, none of those that the system gives to outgoing connections: one of these could take it first. */
export async function freePort() {
  for (let tries = 0; tries < 1000; tries++) {
    const port = 12000 + ((process.pid * 61 + asked++) % 10000);
    const server = createServer();
    const free = await new Promise((done) => {
      server.once("error", () => done(false));
      server.listen(port, "127.0.0.1", () => done(true));
    });
    if (free) {
      await new Promise((done) => server.close(done));
      return port;
    }
  }
  throw new Error("no port from 12000 on is free");
}

export class Server {
  /**
   * @param {Record<string, string>} more further settings
   * @param {string} program another program than `fairline`
   */
  static async start(more = {}, program = binary) {
    const server = new Server();
    server.program = program;
    server.more = more;
    server.folder = await mkdtemp(join(tmpdir(), "fairline-e2e-"));
    server.port = await freePort();
    server.url = `${more.FAIRLINE_TLS_CERT ? "https" : "http"}://127.0.0.1:${server.port}`;
    await server.run();
    return server;
  }

  async run() {
    this.env = {
      ...process.env,
      // No setting of the server.
      FAIRLINE_BINARY: undefined,
      FAIRLINE_LISTEN: `127.0.0.1:${this.port}`,
      FAIRLINE_OPS_LISTEN: `127.0.0.1:${await freePort()}`,
      FAIRLINE_DATA: join(this.folder, "data"),
      FAIRLINE_ORGANISER_KEY: KEY,
      FAIRLINE_JOINS_PER_MINUTE: "0",
      FAIRLINE_REJOINS_PER_HOUR: "0",
      FAIRLINE_LOG: "warn",
      FAIRLINE_REQUESTS_PER_SECOND: "0",
      ...this.more,
    };
    this.process = spawn(this.program, [], { env: this.env, stdio: ["ignore", "ignore", "inherit"] });
    for (let tries = 0; ; tries++) {
      const answer = await fetch(`${this.url}/api/v1/events`).catch(() => null);
      if (answer?.ok) return;
      if (tries > 1200) throw new Error("the server did not come up");
      await new Promise((later) => setTimeout(later, 50));
    }
  }

  /** Runs the program with further arguments, beside the server. Answers its status and what it says. */
  async command(...words) {
    const child = spawn(this.program, words, { env: this.env, stdio: ["ignore", "pipe", "inherit"] });
    let said = "";
    child.stdout.on("data", (part) => {
      said += part;
    });
    const status = await new Promise((done) => child.once("close", done));
    return { status, said };
  }

  /** @param {NodeJS.Signals} signal */
  async kill(signal = "SIGKILL") {
    const gone = new Promise((done) => this.process.once("exit", done));
    this.process.kill(signal);
    await gone;
  }

  async end() {
    await this.kill();
    await rm(this.folder, { recursive: true, force: true });
  }

  async call(method, path, body) {
    const answer = await fetch(`${this.url}${path}`, {
      method,
      headers: { Authorization: `Bearer ${KEY}`, "Content-Type": "application/json" },
      body: body && JSON.stringify(body),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return text ? JSON.parse(text) : null;
  }

  /** An event with a hall; `admission` is what a test needs. */
  async event(id, settings = {}) {
    await this.call("POST", "/api/v1/organiser/events", { id, name: `The ${id} show`, ...settings });
    await this.call("PUT", `/api/v1/organiser/events/${id}/seating`, {
      categories: [
        { id: "standing", name: "Standing", price: 3900 },
        { id: "stalls", name: "Stalls", price: 6500 },
        { id: "circle", name: "Circle", price: 4800 },
      ],
      sections: [
        { id: "st", name: "Stalls", category: "stalls", rows: 18, seats_per_row: 34 },
        { id: "ci", name: "Circle", category: "circle", rows: 9, seats_per_row: 40 },
      ],
      areas: [{ id: "floor", name: "Standing floor", category: "standing", capacity: 500 }],
    });
  }
}
