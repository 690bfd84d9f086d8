// The pages of the two tutorials with login pages, walked as their readers walk them: register, log in, code, profile, log
// out.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { PHONE, assertAccessible, assertNoSidewaysScroll, screenshot, startBrowser, startServer, withPage } from "./harness.js";
import {
  CREATED, INVALID, NO_LIMITS, REFUSED, assertLoggedOut, assertProfile, field, fill, logIn, main, newPerson, nextCode, pathOf, register, send, verify,
} from "./login.js";

/** Pictures that the README shows. */
const IN_README = ["register", "verify", "totp"];

let server;
let browser;

before(async () => {
  [server, browser] = await Promise.all([startServer(NO_LIMITS), startBrowser()]);
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

const withRefusals = (options, use) => withPage(browser, server, { expectStatus: REFUSED, ...options }, use);
const anotherCode = (code) => (code === "000000" ? "000001" : "000000");

async function walk(page) {
  const person = newPerson();
  await assertLoggedOut(page);
  await register(page, person);
  await logIn(page, person);
  await assertNoSidewaysScroll(page, "the code page");
  assert.equal(await verify(page, await server.code(person.phone)), 303);
  await assertProfile(page, person);
  await assertNoSidewaysScroll(page, "the profile");
  await page.reload();
  await assertProfile(page, person);
  await page.goto("/logout");
  assert.equal(pathOf(page), "/logout", "a link logs nobody out");
  await page.goto("/profile");
  await assertProfile(page, person);
  await page.goto("/logout");
  await send(page, "/logout");
  assert.equal(pathOf(page), "/login");
  await assertLoggedOut(page);
}

for (const [name, options] of [
  ["on a desktop", {}],
  ["on a phone", { viewport: PHONE, hasTouch: true }],
  ["in the dark", { colorScheme: "dark" }],
  ["without JavaScript", { javaScriptEnabled: false }],
]) {
  test(`register, login, code, profile, logout: ${name}`, () => withRefusals(options, walk));
}

test("nothing for axe on any page of the walk, refusals included", () =>
  withRefusals({ viewport: PHONE }, async (page) => {
    const person = newPerson();
    const look = async (name) => {
      await assertNoSidewaysScroll(page, name);
      await assertAccessible(page, name);
      await screenshot(page, `login-${name}`, { picture: IN_README.includes(name) && `login-${name}`, fullPage: true });
    };
    await page.goto("/register");
    await look("register");
    await register(page, person);
    await look("registered");
    await page.goto("/register");
    await fill(page, person);
    await send(page, "/register");
    await look("register-taken");
    await page.goto("/login");
    await fill(page, { phone: person.phone, password: "another pass phrase altogether" });
    await send(page, "/login");
    await look("login-refused");
    await logIn(page, person);
    await look("verify");
    const code = await server.code(person.phone);
    await verify(page, anotherCode(code));
    await look("verify-refused");
    await verify(page, code);
    await look("profile");
    await page.goto("/logout");
    await look("logout");
  }));

test("a second account on a phone is refused on the same page, which keeps what was typed", () =>
  withRefusals({}, async (page) => {
    const person = newPerson();
    await register(page, person);
    await page.goto("/register");
    await fill(page, { ...person, fullname: "Somebody Else", password: "some other pass phrase" });
    await send(page, "/register");
    assert.equal(pathOf(page), "/register");
    assert.equal(await field(page, "fullname").inputValue(), "Somebody Else");
    assert.equal(await field(page, "password").inputValue(), "", "a password does not come back");
    const refusal = main(page).locator('[role="alert"], [aria-invalid="true"]');
    assert.ok((await refusal.count()) > 0, "the page says what is wrong");
    assert.equal(await main(page).getByText(CREATED).count(), 0);
    await logIn(page, person);
    await verify(page, await server.code(person.phone));
    await assertProfile(page, person);
  }));

test("a wrong password and an unknown number are the same answer (ENM-01)", () =>
  withRefusals({}, async (page) => {
    const person = newPerson();
    await register(page, person);
    const answers = [];
    for (const phone of [person.phone, newPerson().phone]) {
      await page.goto("/login");
      await fill(page, { phone, password: "another pass phrase altogether" });
      const status = await send(page, "/login");
      assert.equal(pathOf(page), "/login");
      answers.push({ status, text: (await main(page).innerText()).replaceAll(phone, "PHONE") });
    }
    assert.deepEqual(answers[0], answers[1]);
    assert.equal((await (await fetch(`${server.url}/dev/inbox.json?to=${encodeURIComponent(person.phone)}`)).json()).length, 0, "no code is sent");
  }));

test("a wrong code: the same page says so, and the right one still works", () =>
  withRefusals({}, async (page) => {
    const person = newPerson();
    await register(page, person);
    await logIn(page, person);
    const code = await server.code(person.phone);
    await verify(page, anotherCode(code));
    assert.equal(pathOf(page), "/verify");
    await main(page).getByText(INVALID).waitFor();
    await assertLoggedOut(page);
    await page.goto("/verify");
    assert.equal(await verify(page, code), 303);
    await assertProfile(page, person);
  }));

test("a code with a space in it, as it is read out, is right", () =>
  withRefusals({ javaScriptEnabled: false }, async (page) => {
    const person = newPerson();
    await register(page, person);
    await logIn(page, person);
    const code = await server.code(person.phone);
    await verify(page, ` ${code.slice(0, 3)} ${code.slice(3)} `);
    await assertProfile(page, person);
  }));

test("a code that another one has replaced is an old code", () =>
  withRefusals({}, async (page) => {
    const person = newPerson();
    await register(page, person);
    await logIn(page, person);
    const first = await server.code(person.phone);
    await send(page, "/verify/resend");
    assert.equal(pathOf(page).startsWith("/verify"), true);
    const second = await nextCode(server, person.phone, first);
    await page.goto("/verify");
    await verify(page, first);
    await main(page).getByText(INVALID).waitFor();
    await verify(page, second);
    await assertProfile(page, person);
  }));

test("the code page cannot be reached without the password (MFA-03)", () =>
  withRefusals({}, async (page) => {
    await page.goto("/verify");
    assert.equal(pathOf(page), "/login");
  }));

test("a code is of use only in the browser that gave the password (WEB-02)", async () => {
  const person = newPerson();
  await withRefusals({}, async (page) => {
    await register(page, person);
    await logIn(page, person);
    const code = await server.code(person.phone);
    await withRefusals({}, async (stranger) => {
      // The stranger has a page of their own for another account, and puts this phone and code into it.
      const other = newPerson();
      await register(stranger, other);
      await logIn(stranger, other);
      await stranger.evaluate((phone) => {
        const hidden = document.querySelector('form[action="/verify"] [name="phone"]');
        if (hidden) hidden.value = phone;
      }, person.phone);
      await verify(stranger, code);
      await assertLoggedOut(stranger);
    });
    await verify(page, code);
    await assertProfile(page, person);
  });
});

test("the back button after the login brings no old code page to life", () =>
  withRefusals({}, async (page) => {
    const person = newPerson();
    await register(page, person);
    await logIn(page, person);
    const code = await server.code(person.phone);
    await verify(page, code);
    await assertProfile(page, person);
    await page.goBack();
    if (await field(page, "code").count()) {
      await verify(page, code);
      assert.equal(await main(page).getByText("Something went wrong").count(), 0);
    }
    await page.goto("/profile");
    await assertProfile(page, person);
  }));

test("the back button after the logout shows no profile (SES-08)", () =>
  withRefusals({}, async (page) => {
    const person = newPerson();
    await register(page, person);
    await logIn(page, person);
    await verify(page, await server.code(person.phone));
    await assertProfile(page, person);
    await page.goto("/logout");
    await send(page, "/logout");
    await page.goBack();
    await page.goBack();
    assert.equal(pathOf(page), "/login");
    assert.equal(await main(page).getByText(person.fullname).count(), 0);
  }));

test("two tabs: the newer login is the one that counts, and a logout ends both", () =>
  withRefusals({}, async (first) => {
    const person = newPerson();
    await register(first, person);
    await logIn(first, person);
    const old = await server.code(person.phone);
    const second = await first.context().newPage();
    await logIn(second, person);
    const code = await nextCode(server, person.phone, old);
    await verify(second, code);
    await assertProfile(second, person);
    await first.reload();
    await first.goto("/profile");
    await assertProfile(first, person);
    await first.goto("/logout");
    await send(first, "/logout");
    await assertLoggedOut(second);
  }));

test("the keyboard alone is enough", () =>
  withRefusals({}, async (page) => {
    const person = newPerson();
    const focus = () => page.evaluate(() => document.activeElement.getAttribute("name") ?? "");
    const tabTo = async (name) => {
      for (let steps = 0; steps < 20 && (await focus()) !== name; steps++) await page.keyboard.press("Tab");
      assert.equal(await focus(), name, `Tab reaches ${name}`);
    };
    const typeInto = async (name, text) => {
      await tabTo(name);
      await page.keyboard.type(text);
    };
    const enter = async () => {
      const loaded = page.waitForEvent("load");
      await page.keyboard.press("Enter");
      await loaded;
    };
    await page.goto("/register");
    for (const name of ["fullname", "phone", "password"]) await typeInto(name, person[name]);
    await enter();
    await main(page).getByText(CREATED).waitFor();
    await page.goto("/login");
    await typeInto("phone", person.phone);
    await typeInto("password", person.password);
    await enter();
    assert.equal(pathOf(page), "/verify");
    await typeInto("code", await server.code(person.phone));
    await enter();
    await assertProfile(page, person);
    await page.goto("/logout");
    for (let steps = 0; steps < 20 && !(await page.evaluate(() => document.activeElement.matches("form[action='/logout'] button"))); steps++) {
      await page.keyboard.press("Tab");
    }
    await enter();
    assert.equal(pathOf(page), "/login");
  }));

test("the fields say what they are to browsers and phones", () =>
  withRefusals({}, async (page) => {
    const person = newPerson();
    const assertFills = async (wanted) => {
      for (const [name, autocomplete] of Object.entries(wanted)) {
        assert.equal(await field(page, name).getAttribute("autocomplete"), autocomplete, name);
        assert.equal(await page.locator(`label[for="${await field(page, name).getAttribute("id")}"]`).count(), 1, `${name} has a label`);
      }
    };
    await page.goto("/register");
    await assertFills({ fullname: "name", phone: "tel", password: "new-password" });
    await register(page, person);
    await page.goto("/login");
    await assertFills({ phone: "username", password: "current-password" });
    await logIn(page, person);
    await assertFills({ code: "one-time-code" });
    assert.equal(await field(page, "code").getAttribute("inputmode"), "numeric");
  }));
