// The queue page while Redis is away: it stays, says so, and goes on by itself.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { accessible, launch, person, shoot, sound } from "./browser.js";
import { Server } from "./server.js";

let server, browser, folder, redis;
const start = () => {
  redis = spawn("redis-server", ["--port", "0", "--unixsocket", join(folder, "redis"), "--save", "", "--dir", folder], {
    stdio: "ignore",
  });
};
const kill = async () => {
  const gone = new Promise((done) => redis.once("exit", done));
  redis.kill("SIGKILL");
  await gone;
};
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "fairline-redis-"));
  start();
  const secret = "0123456789abcdef0123456789abcdef";
  [server, browser] = await Promise.all([
    Server.start({
      FAIRLINE_LINE: `redis+unix://${join(folder, "redis")}`,
      FAIRLINE_PASS_SECRET: `pass-${secret}`,
      FAIRLINE_SERVICE_KEY: `service-${secret}`,
    }),
    launch(),
  ]);
});
after(async () => {
  await browser?.close();
  await server?.end();
  await kill();
  await rm(folder, { recursive: true, force: true });
});

test("the page keeps its place and says when the line cannot be reached", async () => {
  await server.event("away", { admission: { rate_per_minute: 0 } });
  const [first, fan] = [await person(browser), await person(browser)];
  await first.goto(`${server.url}/e/away`);
  await first.getByRole("heading", { name: "You are next" }).waitFor();
  await fan.goto(`${server.url}/e/away`);
  await fan.getByRole("heading", { name: "1 ahead of you" }).waitFor();
  // As behind a proxy that lets no socket through.
  const polling = await person(browser);
  await polling.routeWebSocket(/\/ws$/, (socket) => socket.close());
  await polling.goto(`${server.url}/e/away`);
  await polling.getByRole("heading", { name: "2 ahead of you" }).waitFor();
  await kill();
  for (const page of [fan, polling])
    await page.getByText("We cannot reach the line at the moment. Your place is kept").waitFor();
  await fan.getByRole("heading", { name: "1 ahead of you" }).waitFor();
  await accessible(fan, "the queue while the line is away");
  await shoot(fan, "line-away");
  // Empty, as after the loss of its disk.
  start();
  await fan.getByText("We cannot reach the line at the moment").waitFor({ state: "hidden" });
  await fan.reload();
  await fan.getByRole("heading", { name: "1 ahead of you" }).waitFor();
  await fan.locator("#number").filter({ hasText: /^2$/ }).waitFor();
  for (const page of [first, fan]) sound(page);
});
