// The tutorial's walk through the four pages, and what can go wrong on the way.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { answerWith, startApp, startBrowser, withApp } from "./harness.js";

let app;
let browser;

before(async () => {
  [app, browser] = await Promise.all([startApp(), startBrowser()]);
});
after(async () => {
  await browser?.close();
  await app?.stop();
});

// Each test has people of its own.
let people = 0;
function newPerson() {
  people += 1;
  return { email: `ann${people}@example.com`, password: "a long enough pass phrase", phone: `+49151234${String(50_000 + people)}` };
}

const heading = (page, name) => page.getByRole("heading", { level: 1, name }).waitFor();
const press = (page, name) => page.getByRole("button", { name, exact: true }).click();
const alertOf = (page) => page.getByRole("alert").filter({ hasText: /\S/ });

async function register(page, person) {
  await page.goto("register");
  await page.getByLabel("E-mail").fill(person.email);
  await page.getByLabel("Password", { exact: true }).fill(person.password);
  await page.getByLabel("Phone number").fill(person.phone);
  await press(page, "Create account");
  await heading(page, "Log in");
}

async function logIn(page, person) {
  await page.getByLabel("E-mail").fill(person.email);
  await page.getByLabel("Password", { exact: true }).fill(person.password);
  await press(page, "Log in");
  await heading(page, "Enter your code");
}

async function verify(page, person) {
  await page.getByLabel("Code").fill(await app.server.code(person.phone));
  await press(page, "Verify");
  await heading(page, "Welcome!");
}

async function reachWelcome(page, person) {
  await register(page, person);
  await logIn(page, person);
  await verify(page, person);
}

test("register, login, code, welcome, logout", () =>
  withApp(browser, app, {}, async (page) => {
    const person = newPerson();
    await page.goto("");
    await heading(page, "Log in");
    await page.getByRole("link", { name: "Create an account" }).click();
    await heading(page, "Create an account");
    await register(page, person);
    await page.getByText("Registered successfully. You can log in now.").waitFor();
    await logIn(page, person);
    assert.equal(await page.evaluate(() => sessionStorage.getItem("email")), person.email);
    assert.equal(await page.evaluate(() => localStorage.getItem("token")), null, "no token before the code");
    await verify(page, person);
    assert.equal(new URL(page.url()).pathname, "/welcome");
    assert.match(await page.evaluate(() => localStorage.getItem("token")), /^[^.]+\.[^.]+\.[^.]+$/);
    await page.locator("dl").getByText(person.email).waitFor();
    await press(page, "Log out");
    await heading(page, "Log in");
    await page.getByText("You are logged out.").waitFor();
    assert.equal(await page.evaluate(() => localStorage.getItem("token")), null);
    await page.goto("welcome");
    await heading(page, "Log in");
  }));

test("the token of a session that was logged out brings nobody back", () =>
  withApp(browser, app, {}, async (page) => {
    const person = newPerson();
    await reachWelcome(page, person);
    await press(page, "Log out");
    await heading(page, "Log in");
    const refresh = (url) => fetch(`${url}/auth/refresh`, { method: "POST", credentials: "include" }).then((answer) => answer.status);
    assert.equal(await page.evaluate(refresh, app.server.url), 401, "the refresh cookie is dead");
  }));

test("a wrong password says so, keeps the address and goes back to the password", () =>
  withApp(browser, app, {}, async (page) => {
    const person = newPerson();
    await register(page, person);
    await page.getByLabel("E-mail").fill(person.email);
    await page.getByLabel("Password", { exact: true }).fill("another pass phrase altogether");
    await press(page, "Log in");
    await alertOf(page).getByText("Invalid credentials").waitFor();
    assert.equal(await page.getByLabel("E-mail").inputValue(), person.email);
    await page.waitForFunction(() => document.activeElement?.name === "password");
    await logIn(page, person);
    await verify(page, person);
  }));

test("a wrong code says so, each time, and the right one still works", () =>
  withApp(browser, app, {}, async (page) => {
    const person = newPerson();
    await register(page, person);
    await logIn(page, person);
    const code = await app.server.code(person.phone);
    const wrong = code === "000000" ? "000001" : "000000";
    for (let tries = 0; tries < 2; tries++) {
      const announced = page.evaluate(
        () => new Promise((resolve) => new MutationObserver(() => resolve(true)).observe(document.querySelector("[role=alert]"), { childList: true })),
      );
      await page.getByLabel("Code").fill(wrong);
      await press(page, "Verify");
      assert.equal(await announced, true, "the same sentence again is announced again");
      await alertOf(page).getByText("Invalid or expired OTP").waitFor();
      await page.waitForFunction(() => document.activeElement?.name === "code");
    }
    assert.equal(await page.evaluate(() => getSelection().toString()), wrong, "typing replaces the wrong code");
    await page.getByLabel("Code").fill(` ${code.slice(0, 3)} ${code.slice(3)} `);
    await press(page, "Verify");
    await heading(page, "Welcome!");
  }));

test("a new code is sent until the limit, which is counted down", () =>
  withApp(browser, app, {}, async (page) => {
    const person = newPerson();
    await register(page, person);
    await logIn(page, person);
    const first = await app.server.code(person.phone);
    await press(page, "Send a new code");
    await page.getByText("A new code is on its way.").waitFor();
    const limited = page.getByRole("button", { name: /^New code in / });
    for (let tries = 0; tries < 12 && (await limited.count()) === 0; tries++) {
      const answered = page.waitForResponse(/resend-otp/);
      await press(page, "Send a new code");
      const status = (await answered).status();
      if (status === 429) await limited.waitFor();
    }
    await alertOf(page).waitFor();
    assert.equal(await page.getByText("A new code is on its way.").count(), 0, "no success beside the refusal");
    const code = await app.server.code(person.phone);
    assert.notEqual(code, first);
    await page.getByLabel("Code").fill(code);
    await press(page, "Verify");
    await heading(page, "Welcome!");
  }));

test("a limit names its wait, ticks in silence, and lets go when it is over", () =>
  withApp(browser, app, {}, async (page) => {
    await page.clock.install();
    const calls = await answerWith(page, app, "/auth/login", { status: 429, body: { error: "Too many attempts" }, headers: { "Retry-After": "130" } });
    await page.goto("login");
    await page.getByLabel("E-mail").fill("ann@example.com");
    await page.getByLabel("Password", { exact: true }).fill("a pass phrase");
    await press(page, "Log in");
    await alertOf(page).getByText("Too many attempts").waitFor();
    const button = page.getByRole("button", { name: "Try again in 2:10 min" });
    await button.waitFor();
    await page.evaluate(() => {
      window.announcements = 0;
      const count = () => (window.announcements += 1);
      document.querySelectorAll("[role=alert], [role=status]").forEach((region) => new MutationObserver(count).observe(region, { subtree: true, childList: true, characterData: true }));
    });
    await button.press("Enter");
    await page.clock.runFor(60_000);
    await page.getByRole("button", { name: "Try again in 70 s" }).waitFor();
    assert.equal(await page.evaluate(() => window.announcements), 0, "nobody has to listen to the seconds");
    assert.equal(calls(), 1, "nothing is sent before its time");
    await page.clock.runFor(71_000);
    await page.getByText("You can try again now.").waitFor();
    await press(page, "Log in");
    await alertOf(page).getByText("Too many attempts").waitFor();
    assert.equal(calls(), 2);
  }));

test("a broken rule is said at its field", () =>
  withApp(browser, app, {}, async (page) => {
    const person = newPerson();
    await page.goto("register");
    await page.getByLabel("E-mail").fill(person.email);
    await page.getByLabel("Password", { exact: true }).fill(person.password);
    await page.getByLabel("Phone number").fill("12");
    await press(page, "Create account");
    const phone = page.getByLabel("Phone number");
    await page.waitForFunction(() => document.activeElement?.name === "phone");
    assert.equal(await phone.getAttribute("aria-invalid"), "true");
    const [complaint] = (await phone.getAttribute("aria-describedby")).split(" ");
    assert.match(await page.locator(`[id="${complaint}"]`).textContent(), /\S/);
    assert.equal(await page.getByLabel("Password", { exact: true }).getAttribute("aria-invalid"), null);
    await phone.fill(person.phone);
    await press(page, "Create account");
    await heading(page, "Log in");
  }));

for (const [name, answer, words] of [
  ["no answer", "silence", "The server cannot be reached."],
  ["a server that is busy", { status: 503, body: { error: "The server cannot do this right now" }, headers: { "Retry-After": "1" } }, "The server cannot do this right now"],
  ["an answer that is no JSON", { status: 502, body: undefined, headers: {} }, "The server answered with an error (502)."],
]) {
  test(`${name}: the form keeps what was typed, and works the next time`, () =>
    withApp(browser, app, {}, async (page) => {
      const person = newPerson();
      await register(page, person);
      await answerWith(page, app, "/auth/login", answer, "server");
      await page.getByLabel("E-mail").fill(person.email);
      await page.getByLabel("Password", { exact: true }).fill(person.password);
      await press(page, "Log in");
      await alertOf(page).getByText(words).waitFor();
      await press(page, "Log in");
      await heading(page, "Enter your code");
    }));
}

test("a second press sends nothing twice", () =>
  withApp(browser, app, {}, async (page) => {
    const person = newPerson();
    await register(page, person);
    let calls = 0;
    page.on("request", (request) => (calls += request.method() === "POST" && request.url().endsWith("/auth/login") ? 1 : 0));
    await page.getByLabel("E-mail").fill(person.email);
    await page.getByLabel("Password", { exact: true }).fill(person.password);
    await page.evaluate(() => {
      const form = document.querySelector("form");
      form.requestSubmit();
      form.requestSubmit();
    });
    await heading(page, "Enter your code");
    assert.equal(calls, 1);
  }));

test("a reload keeps each step", () =>
  withApp(browser, app, {}, async (page) => {
    const person = newPerson();
    await register(page, person);
    await logIn(page, person);
    await page.reload();
    await heading(page, "Enter your code");
    await verify(page, person);
    await page.reload();
    await heading(page, "Welcome!");
    await page.locator("dl").getByText(person.email).waitFor();
  }));

test("the code page without a login goes to the login page", () =>
  withApp(browser, app, {}, async (page) => {
    await page.goto("verify");
    await heading(page, "Log in");
  }));

test("whoever is logged in is not asked again, and the back button shows no old form", () =>
  withApp(browser, app, {}, async (page) => {
    await reachWelcome(page, newPerson());
    for (const path of ["", "login", "register", "verify"]) {
      await page.goto(path);
      await heading(page, "Welcome!");
    }
    await page.goBack();
    await heading(page, "Welcome!");
  }));

test("a token that is no longer accepted is renewed, by one of two tabs", () =>
  withApp(browser, app, {}, async (page) => {
    const person = newPerson();
    await reachWelcome(page, person);
    let refreshes = 0;
    const count = (request) => (refreshes += request.method() === "POST" && request.url().endsWith("/auth/refresh") ? 1 : 0);
    const second = await page.context().newPage();
    await second.goto("welcome");
    await heading(second, "Welcome!");
    // Not there when the token is spoiled: a tab that hears of it asks at once.
    await second.goto("about:blank");
    page.on("request", count);
    second.on("request", count);
    // Both are refused before either gets a new token.
    const isRefused = (answer) => answer.status() === 401 && answer.url().endsWith("/protected");
    const refused = Promise.all([page, second].map((tab) => tab.waitForResponse(isRefused)));
    await page.context().route(`${app.server.url}/auth/refresh`, async (route) => {
      await refused;
      await route.continue();
    });
    await page.evaluate(() => localStorage.setItem("token", "expired.expired.expired"));
    await Promise.all([page.reload(), second.goto("welcome")]);
    for (const tab of [page, second]) {
      await heading(tab, "Welcome!");
      await tab.locator("dl").getByText(person.email).waitFor();
    }
    assert.equal(refreshes, 1, "a refresh token is spent once");
  }));

test("a token that cannot be renewed goes back to the login page, and says why", () =>
  withApp(browser, app, {}, async (page) => {
    await reachWelcome(page, newPerson());
    await page.context().clearCookies();
    await page.evaluate(() => localStorage.setItem("token", "expired.expired.expired"));
    await page.reload();
    await heading(page, "Log in");
    await page.getByText("Your session has ended. Please log in again.").waitFor();
    assert.equal(await page.evaluate(() => localStorage.getItem("token")), null);
  }));

test("a server that does not answer ends no session", () =>
  withApp(browser, app, {}, async (page) => {
    await reachWelcome(page, newPerson());
    await answerWith(page, app, "/protected", "silence", "server");
    await page.reload();
    await alertOf(page).getByText("The server cannot be reached.").waitFor();
    await press(page, "Try again");
    await heading(page, "Welcome!");
    assert.equal(await alertOf(page).count(), 0);
    await answerWith(page, app, "/auth/logout", "silence", "server");
    await press(page, "Log out");
    await alertOf(page).getByText("The server cannot be reached.").waitFor();
    assert.notEqual(await page.evaluate(() => localStorage.getItem("token")), null, "nobody is told that they are logged out and is not");
    await press(page, "Log out");
    await heading(page, "Log in");
  }));

test("two tabs: logging out in one ends the other", () =>
  withApp(browser, app, {}, async (page) => {
    await reachWelcome(page, newPerson());
    const second = await page.context().newPage();
    await second.goto("welcome");
    await heading(second, "Welcome!");
    await press(page, "Log out");
    await heading(second, "Log in");
    await second.getByText("You are logged out.").waitFor();
  }));
