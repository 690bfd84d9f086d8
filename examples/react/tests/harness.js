// The app as a visitor gets it: built for a server, served from another origin, in a browser that fails a test when it has
// anything to complain about.
//
// The server is the one of this repository (COUNTERSIGN_BINARY names its binary), started as for tests/browser.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { build, preview } from "vite";

import { DESKTOP, startServer } from "../../../tests/browser/harness.js";

export { DESKTOP, PHONE, assertAccessible, assertNoSidewaysScroll, screenshot, startBrowser } from "../../../tests/browser/harness.js";

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "..");
/** The server lets the app's origin in, and all of this comes from one address. */
const variables = (origin) => ({
  JWT_SECRET: "a secret that the services behind the tutorial share",
  COUNTERSIGN_ACCOUNTS__ORIGINS: JSON.stringify([origin]),
  COUNTERSIGN_ACCOUNTS__LIMITS__IP_REGISTRATIONS: "1000/1h",
  COUNTERSIGN_ACCOUNTS__LIMITS__IP_SIGN_INS: "1000/1m",
  COUNTERSIGN_SERVICE__DEFAULT__LIMITS__IP_SENDS: "1000/1h",
  COUNTERSIGN_SERVICE__DEFAULT__LIMITS__IP_CHECKS: "1000/1h",
});

/** A server, and the app built for it under `base`, each on a port of its own. */
export async function startApp({ base = "/" } = {}) {
  const port = await freePort();
  const origin = `http://127.0.0.1:${port}`;
  const server = await startServer(variables(origin));
  const outDir = mkdtempSync(path.join(tmpdir(), "countersign-react-"));
  process.env.VITE_API_URL = server.url;
  await build({ root: ROOT, base, logLevel: "warn", build: { outDir, emptyOutDir: true } });
  const app = await preview({
    root: ROOT,
    base,
    logLevel: "warn",
    build: { outDir },
    preview: { port, headers: { "Content-Security-Policy": policy(server.url), "Cross-Origin-Opener-Policy": "same-origin" } },
  });
  return {
    origin,
    url: origin + base,
    server,
    async stop() {
      await app.close();
      await server.stop();
      rmSync(outDir, { recursive: true });
    },
  };
}

/** The policy under which the server serves its own pages, and the one other host that the app talks to. */
const policy = (api) =>
  `default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self' ${api}; ` +
  "form-action 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'";

/**
 * Opens a page in a context of its own for as long as `use` runs. Console errors, uncaught exceptions, violations of the
 * content security policy, dialogs and requests to other hosts fail the test; an answer that refuses does not.
 */
export async function withApp(browser, app, options, use) {
  const context = await browser.newContext({ baseURL: app.url, viewport: DESKTOP, locale: "en-GB", timezoneId: "UTC", ...options });
  context.setDefaultTimeout(10_000);
  const complaints = [];
  context.on("page", (page) => {
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type()) && !message.text().startsWith("Failed to load resource")) complaints.push(`console: ${message.text()}`);
    });
    page.on("pageerror", (error) => complaints.push(`exception: ${error}`));
    page.on("dialog", (dialog) => {
      complaints.push(`dialog: ${dialog.message()}`);
      dialog.dismiss();
    });
    page.on("request", (request) => {
      const isOurs = [app.origin, app.server.url, "data:"].some((start) => request.url().startsWith(start));
      if (!isOurs) complaints.push(`request to ${request.url()}`);
    });
  });
  await context.exposeFunction("complain", (text) => complaints.push(text));
  await context.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (event) => window.complain(`CSP: ${event.violatedDirective} ${event.blockedURI}`));
  });
  try {
    await use(await context.newPage());
  } finally {
    await context.close();
  }
  assert.deepEqual(complaints, [], "the browser has nothing to complain about");
}

/** What the server is asked through the page's eyes, answered by the test: `answers` in turn, the last one again and again. */
export async function answerWith(page, app, route, ...answers) {
  let calls = 0;
  await page.route(app.server.url + route, async (request) => {
    const answer = answers[Math.min(calls++, answers.length - 1)];
    if (answer === "silence") return request.abort();
    if (answer === "server") return request.continue();
    const { status, body, headers } = answer;
    return request.fulfill({
      status,
      contentType: "application/json",
      body: JSON.stringify(body),
      headers: {
        "Access-Control-Allow-Origin": app.origin,
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Expose-Headers": "Retry-After",
        ...headers,
      },
    });
  });
  return () => calls;
}

async function freePort() {
  const probe = createServer();
  await new Promise((resolve) => probe.listen(0, "127.0.0.1", resolve));
  const { port } = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  return port;
}
