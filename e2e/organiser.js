// An organiser who signs in to the console.
import { KEY } from "./server.js";

export async function signIn(page, server) {
  await page.goto(`${server.url}/organiser`);
  await page.getByLabel("Organiser key").fill(KEY);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { name: "Sales" }).waitFor();
}
