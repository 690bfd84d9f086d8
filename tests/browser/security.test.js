// What people do with their accounts: authenticator apps, passkeys, recovery codes, numbers and addresses, passwords. Every
// page that they meet is looked at by axe, at 320 px and in the dark.

import assert from "node:assert/strict";
import { createServer } from "node:net";
import { after, before, test } from "node:test";

import { PHONE, assertAccessible, assertNoSidewaysScroll, screenshot, startBrowser, startServer, withPage } from "./harness.js";
import {
  INVALID, NO_LIMITS, REFUSED, appCode, arrive, assertLoggedOut, assertProfile, field, fill, logIn, logOut, main, newPerson, nextCode, pathOf, send,
} from "./login.js";

/** Pictures that the README shows. */
const IN_README = ["register", "verify", "totp"];

let server;
let browser;

before(async () => {
  // Passkeys are made for a name: the server has to know its own before it listens.
  const port = await freePort();
  const url = `http://localhost:${port}`;
  const place = { COUNTERSIGN_SERVER__PORT: String(port), COUNTERSIGN_SERVER__PUBLIC_URL: url };
  const [started, chromium] = await Promise.all([startServer({ ...NO_LIMITS, ...place }), startBrowser()]);
  [server, browser] = [{ ...started, url }, chromium];
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

function freePort() {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

const withRefusals = (options, use) => withPage(browser, server, { expectStatus: REFUSED, ...options }, use);

async function look(page, name) {
  await assertNoSidewaysScroll(page, name);
  await assertAccessible(page, name);
  await screenshot(page, `login-${name}`, { picture: IN_README.includes(name) && `login-${name}`, fullPage: true });
}

/** Presses a button that leads to another page. */
async function press(page, button) {
  const loaded = page.waitForEvent("load");
  await button.click();
  await loaded;
}

test("an authenticator app is set up, and signs in", () =>
  withRefusals({ viewport: PHONE }, async (page) => {
    const person = newPerson();
    await arrive(server, page, person);
    await page.goto("/security");
    await look(page, "security");
    await send(page, "/security/totp/start");
    assert.equal(pathOf(page), "/security/totp");
    await look(page, "totp");
    const key = await page.locator(".key-text code").innerText();
    await page.reload();
    assert.equal(await page.locator(".key-text code").innerText(), key, "reading the page again makes no other key");
    await field(page, "code").fill("000000");
    await send(page, "/security/totp");
    await main(page).getByText(INVALID).waitFor();
    await look(page, "totp-refused");
    // The code before this one, so that this one is left for the sign-in (a code counts once).
    await field(page, "code").fill(appCode(key, -1));
    await send(page, "/security/totp");
    assert.equal(pathOf(page), "/security");
    await main(page).getByText("Your change is saved.").waitFor();
    await look(page, "security-totp");
    await logOut(page);
    await logIn(page, person);
    await main(page).getByText("authenticator app").first().waitFor();
    await look(page, "verify-totp");
    await field(page, "code").fill(appCode(key));
    await send(page, "/verify");
    await assertProfile(page, person);
  }));

test("a passkey is made, is the second step, and is the only step", () =>
  withRefusals({}, async (page) => {
    const person = newPerson();
    await arrive(server, page, person);
    const devices = await page.context().newCDPSession(page);
    await devices.send("WebAuthn.enable");
    const options = { protocol: "ctap2", transport: "internal", hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true };
    await devices.send("WebAuthn.addVirtualAuthenticator", { options });
    await page.goto("/security");
    await fill(page, { name: "My laptop" });
    await press(page, page.locator("[data-passkey-enrol]"));
    assert.equal(pathOf(page), "/security");
    await main(page).getByText("My laptop").waitFor();
    await look(page, "security-passkey");
    await logOut(page);
    // After the password, by "another way".
    await logIn(page, person);
    await page.locator("details.other-ways summary").click();
    await look(page, "verify-other-ways");
    await press(page, page.locator('button[value="passkey"]'));
    await look(page, "verify-passkey");
    await press(page, page.locator("[data-passkey-sign-in]"));
    await assertProfile(page, person);
    await logOut(page);
    // Without a password.
    await page.goto("/login");
    await press(page, page.locator("[data-passkey-sign-in]"));
    await assertProfile(page, person);
  }));

test("a device that refuses leaves the page as it was", () =>
  withRefusals({}, async (page) => {
    const person = newPerson();
    await arrive(server, page, person);
    const devices = await page.context().newCDPSession(page);
    await devices.send("WebAuthn.enable");
    const options = { protocol: "ctap2", transport: "internal", hasResidentKey: true, hasUserVerification: true, isUserVerified: false, automaticPresenceSimulation: true };
    await devices.send("WebAuthn.addVirtualAuthenticator", { options });
    await page.goto("/login");
    await page.locator("[data-passkey-sign-in]").click();
    await page.locator("[data-passkey-problem]:not([hidden])").waitFor();
    await look(page, "login-passkey-refused");
    assert.equal(pathOf(page), "/login");
  }));

test("recovery codes are shown once, and one of them signs in", () =>
  withRefusals({ viewport: PHONE, javaScriptEnabled: true }, async (page) => {
    const person = newPerson();
    await arrive(server, page, person);
    await page.goto("/security");
    await send(page, "/security/recovery-codes");
    await look(page, "recovery-codes");
    const codes = await page.locator(".recovery-codes code").allInnerTexts();
    assert.equal(codes.length, 10);
    await logOut(page);
    await logIn(page, person);
    await page.locator("details.other-ways summary").click();
    await press(page, page.locator('button[value="recovery_code"]'));
    assert.equal(pathOf(page), "/recover");
    await look(page, "recover");
    await fill(page, { code: "AAAA-AAAA" });
    await send(page, "/recover");
    await main(page).getByText(INVALID).waitFor();
    await fill(page, { code: codes[0].toLowerCase() });
    await send(page, "/recover");
    await assertProfile(page, person);
  }));

test("a forgotten password is changed by a code", () =>
  withRefusals({ viewport: PHONE }, async (page) => {
    const person = newPerson();
    await arrive(server, page, person);
    const old = await server.code(person.phone);
    await logOut(page);
    await page.goto("/forgot");
    await look(page, "forgot");
    await fill(page, { identifier: person.phone });
    await send(page, "/forgot");
    await look(page, "reset");
    const password = "quite another pass phrase";
    await fill(page, { code: await nextCode(server, person.phone, old), password });
    await send(page, "/reset");
    await main(page).getByText("Your password is changed.").waitFor();
    await look(page, "login-password-changed");
    await assertLoggedOut(page);
    await logIn(page, { ...person, password });
  }));

test("an address is added and confirmed; the password is asked for where it matters", () =>
  withRefusals({ viewport: PHONE, colorScheme: "dark" }, async (page) => {
    const person = newPerson();
    await arrive(server, page, person);
    await page.goto("/security");
    const address = `${person.phone.slice(1)}@example.org`;
    await fill(page, { identifier: address });
    await send(page, "/security/identifiers/add");
    await look(page, "identifier-verify-dark");
    await field(page, "code").fill(await server.code(address));
    await send(page, "/security/identifiers/verify");
    await main(page).getByText("This is now confirmed.").waitFor();
    await look(page, "security-dark");
    await page.goto("/security/confirm");
    await look(page, "confirm-dark");
    await fill(page, { password: "not mine at all" });
    await send(page, "/security/confirm");
    await look(page, "confirm-refused-dark");
    await fill(page, { password: person.password });
    await send(page, "/security/confirm");
    assert.equal(pathOf(page), "/security");
    await page.goto("/security/password");
    await look(page, "password-dark");
    await fill(page, { current_password: person.password, new_password: "quite another pass phrase" });
    await send(page, "/security/password");
    await main(page).getByText("Your change is saved.").waitFor();
  }));

test("without JavaScript, what needs none works", () =>
  withRefusals({ javaScriptEnabled: false }, async (page) => {
    const person = newPerson();
    await arrive(server, page, person);
    await page.goto("/security");
    await screenshot(page, "login-security-no-script");
    await send(page, "/security/recovery-codes");
    assert.equal(await page.locator(".recovery-codes code").count(), 10);
    await page.goto("/security");
    await send(page, "/security/totp/start");
    const key = await page.locator(".key-text code").innerText();
    await field(page, "code").fill(appCode(key));
    await send(page, "/security/totp");
    await main(page).getByText("Your change is saved.").waitFor();
    await send(page, "/security/totp/remove");
    await main(page).getByText("Your change is saved.").waitFor();
  }));

test("in Arabic, from right to left", () =>
  withRefusals({ locale: "ar", viewport: PHONE }, async (page) => {
    await page.goto("/register");
    assert.equal(await page.locator("html").getAttribute("dir"), "rtl");
    await look(page, "register-ar");
  }));
