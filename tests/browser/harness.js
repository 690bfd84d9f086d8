// What the tests share: a server of their own, a browser, and pages that fail a test by themselves when the browser
// complains about anything.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import axe from "axe-core";
import { chromium } from "playwright-core";

const HERE = path.dirname(fileURLToPath(import.meta.url));
const ROOT = path.resolve(HERE, "../..");
const BINARY = path.resolve(ROOT, process.env.COUNTERSIGN_BINARY ?? "target/debug/countersign");
const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const SCREENSHOTS = path.join(ROOT, "target/screenshots");
const PICTURES = path.join(ROOT, "docs/pictures");

export const DESKTOP = { width: 1280, height: 800 };
export const PHONE = { width: 320, height: 640 };

/**
 * Starts a server on free ports with an empty data directory, and with these variables of its environment. `send` sends a
 * code and returns the verification.
 */
export async function startServer(variables = {}) {
  const directory = mkdtempSync(path.join(tmpdir(), "countersign-browser-"));
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("COUNTERSIGN_")));
  env.COUNTERSIGN_DATA_DIR = path.join(directory, "data");
  const options = { cwd: directory, env: { ...env, ...variables } };
  const config = ["--config", path.join(HERE, "countersign.toml")];
  const client = execFileSync(BINARY, [...config, "client", "create", "--json"], { ...options, timeout: 60_000 });
  const key = JSON.parse(client).key;
  const server = spawn(BINARY, [...config, "serve"], { ...options, stdio: ["ignore", "ignore", "pipe"] });
  const ended = new Promise((resolve) => server.once("exit", (status, signal) => resolve(signal ?? status)));
  const url = await new Promise((resolve, reject) => {
    createInterface({ input: server.stderr }).on("line", (line) => {
      const found = /"url":"([^"]+)"/.exec(line);
      if (found) resolve(found[1]);
    });
    ended.then((status) => reject(new Error(`the server ended with ${status} before it listened`)));
  });
  return {
    url,
    async send(body) {
      const response = await fetch(`${url}/v1/verifications`, {
        method: "POST",
        headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/json" },
        body: JSON.stringify(body),
      });
      assert.equal(response.status, 201, await response.clone().text());
      return response.json();
    },
    /** The newest message to a destination, once it is there and, where that is named, got so far. */
    async message(to, delivery) {
      for (let tries = 0; tries < 100; tries++) {
        const response = await fetch(`${url}/dev/inbox.json?to=${encodeURIComponent(to)}`);
        const [message] = await response.json();
        if (message && (!delivery || message.delivery === delivery)) return message;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      throw new Error(`no message for ${to}`);
    },
    async code(to) {
      return (await this.message(to)).code;
    },
    /** The path of the link "I did not ask for this" in the newest mail to an address. */
    async link(to) {
      await this.code(to);
      const [message] = await (await fetch(`${url}/dev/inbox.json?to=${encodeURIComponent(to)}`)).json();
      return /https:\/\/otp\.example(\/not-me\/\S+)/.exec(message.body)[1];
    },
    /** What a command prints. */
    run: (...command) => execFileSync(BINARY, [...config, ...command], { ...options, timeout: 60_000 }).toString(),
    async stop() {
      server.kill("SIGTERM");
      assert.equal(await ended, 0, "the server stops cleanly");
      rmSync(directory, { recursive: true });
    },
  };
}

/** Debian's Chromium, which talks to nobody but this machine. */
export function startBrowser() {
  return chromium.launch({
    executablePath: CHROMIUM,
    args: [
      "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync", "--no-proxy-server", "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost",
    ],
  });
}

/**
 * Opens a page in a context of its own for as long as `use` runs. Console errors, uncaught exceptions, violations of the
 * content security policy, dialogs, failed requests and requests to other hosts fail the test. A page of the status (or one
 * of the statuses) `expectStatus` is no failed request.
 */
export async function withPage(browser, server, options, use) {
  const { expectStatus = 200, ...rest } = options;
  const expected = [expectStatus].flat();
  const context = await browser.newContext({
    baseURL: server.url, viewport: DESKTOP, locale: "en-GB", timezoneId: "UTC", permissions: ["clipboard-read", "clipboard-write"], ...rest,
  });
  context.setDefaultTimeout(10_000);
  const page = await context.newPage();
  const complaints = [];
  const isExpected = (message) => {
    const isRefusal = (status) => status >= 400 && message.text().includes(`Failed to load resource: the server responded with a status of ${status}`);
    return expected.some(isRefusal) && message.location().url === page.url();
  };
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type()) && !isExpected(message)) complaints.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => complaints.push(`exception: ${error}`));
  page.on("dialog", (dialog) => {
    complaints.push(`dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(server.url) && !request.url().startsWith("data:")) complaints.push(`request to ${request.url()}`);
  });
  page.on("response", (response) => {
    const isPage = response.request().isNavigationRequest();
    if (response.status() >= 400 && !(isPage && expected.includes(response.status()))) complaints.push(`${response.status()} for ${response.url()}`);
  });
  if (rest.javaScriptEnabled !== false) {
    await page.exposeFunction("complain", (text) => complaints.push(text));
    await page.addInitScript(() => {
      document.addEventListener("securitypolicyviolation", (event) => window.complain(`CSP: ${event.violatedDirective} ${event.blockedURI}`));
    });
  }
  try {
    await use(page);
  } finally {
    await context.close();
  }
  assert.deepEqual(complaints, [], "the browser has nothing to complain about");
}

/** Asks again and again until `condition` holds, for five seconds: where a page runs no script that could wait. */
export async function until(condition, what) {
  const deadline = Date.now() + 5000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`not so after 5 s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Opens the inbox and waits until it is connected. */
export async function openInbox(page, query = "") {
  await page.goto(`/dev/inbox${query}`);
  await page.locator('#connection[data-state="live"]').waitFor();
}

/** Every accessibility rule of axe, best practices included. The policy of our pages stops no script that a debugger runs. */
export async function assertAccessible(page, name) {
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  const shown = violations.map(({ id, help, nodes }) => ({ id, help, nodes: nodes.map((node) => `${node.html} ${node.failureSummary}`) }));
  assert.deepEqual(shown, [], `axe finds nothing on ${name}`);
}

export async function assertNoSidewaysScroll(page, name) {
  const { scroll, client } = await page.evaluate(() => {
    const root = document.scrollingElement;
    return { scroll: root.scrollWidth, client: root.clientWidth };
  });
  assert.ok(scroll <= client, `${name} is ${scroll} px wide in a window of ${client} px`);
}

/** Keeps a picture under target/screenshots, and with UPDATE_PICTURES=1 also for the documentation. */
export async function screenshot(page, name, { picture, fullPage = !picture } = {}) {
  mkdirSync(SCREENSHOTS, { recursive: true });
  const file = path.join(SCREENSHOTS, `${name}.png`);
  await page.screenshot({ path: file, fullPage, animations: "disabled" });
  if (picture && process.env.UPDATE_PICTURES === "1") {
    mkdirSync(PICTURES, { recursive: true });
    cpSync(file, path.join(PICTURES, `${picture}.png`));
  }
}

if (!existsSync(BINARY)) throw new Error(`${BINARY} is not there: cargo build, or name another in COUNTERSIGN_BINARY`);
if (!existsSync(CHROMIUM)) throw new Error(`${CHROMIUM} is not there: apt-get install chromium, or name another in CHROMIUM`);
