// Every page in both colour schemes and at both ends of the range of widths, with the keyboard alone, and under a path.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { DESKTOP, PHONE, answerWith, assertAccessible, assertNoSidewaysScroll, screenshot, startApp, startBrowser, withApp } from "./harness.js";

let app;
let browser;

before(async () => {
  [app, browser] = await Promise.all([startApp({ base: "/app/" }), startBrowser()]);
});
after(async () => {
  await browser?.close();
  await app?.stop();
});

const PERSON = { email: "averylongmailboxnamethatsomebodyreallyhas@mail.averylongcompanyname.example", password: "a long enough pass phrase" };

const heading = (page, name) => page.getByRole("heading", { level: 1, name }).waitFor();

for (const [size, viewport] of Object.entries({ desktop: DESKTOP, phone: PHONE })) {
  for (const colorScheme of ["light", "dark"]) {
    const phone = `+4915999${size.length}${colorScheme.length}1234`;
    const email = `${size}-${colorScheme}-${PERSON.email}`;

    test(`every page, ${size}, ${colorScheme}`, () =>
      withApp(browser, app, { viewport, colorScheme }, async (page) => {
        const look = async (name) => {
          await assertNoSidewaysScroll(page, name);
          await assertAccessible(page, name);
          for (const target of await page.locator("button, input").all()) {
            const { height } = await target.boundingBox();
            assert.ok(height >= 44, `${await target.evaluate(({ outerHTML }) => outerHTML)} is ${height} px high`);
          }
          await screenshot(page, `react-${name}-${size}-${colorScheme}`);
        };
        await page.goto("register");
        await heading(page, "Create an account");
        await look("register");
        await page.getByLabel("E-mail").fill(email);
        await page.getByLabel("Password", { exact: true }).fill(PERSON.password);
        await page.getByLabel("Phone number").fill("12");
        await page.keyboard.press("Enter");
        await page.locator(".error").waitFor();
        await look("register-refused");
        await page.getByLabel("Phone number").fill(phone);
        await page.keyboard.press("Enter");
        await heading(page, "Log in");
        await look("login");
        await page.getByLabel("E-mail").fill(email);
        await page.getByLabel("Password", { exact: true }).fill("another pass phrase altogether");
        await page.keyboard.press("Enter");
        await page.getByText("Invalid credentials").waitFor();
        await look("login-refused");
        await page.getByLabel("Password", { exact: true }).fill(PERSON.password);
        await page.getByRole("button", { name: "Show password" }).click();
        assert.equal(await page.getByLabel("Password", { exact: true }).getAttribute("type"), "text");
        await page.getByRole("button", { name: "Log in" }).click();
        await heading(page, "Enter your code");
        await look("verify");
        await answerWith(page, app, "/auth/resend-otp", { status: 429, body: { error: "Too many codes were sent" }, headers: { "Retry-After": "3000" } });
        await page.getByRole("button", { name: "Send a new code" }).click();
        await page.getByText("Too many codes were sent").waitFor();
        await look("verify-limited");
        await page.getByLabel("Code").fill(await app.server.code(phone));
        await page.keyboard.press("Enter");
        await heading(page, "Welcome!");
        await page.locator("dl").waitFor();
        await look("welcome");
        assert.equal(new URL(page.url()).pathname, "/app/welcome");
        await page.reload();
        await heading(page, "Welcome!");
      }));
  }
}

test("the keyboard alone is enough, and the focus and the title follow the page", () =>
  withApp(browser, app, {}, async (page) => {
    const focus = () => page.evaluate(() => [document.activeElement.tagName, document.activeElement.name ?? document.activeElement.textContent].join(" "));
    // A page moves the focus a moment after it is shown.
    const focused = async (expected) => {
      await page.waitForFunction(
        (wanted) => [document.activeElement.tagName, document.activeElement.name ?? document.activeElement.textContent].join(" ") === wanted,
        expected,
      ).catch(async () => assert.equal(await focus(), expected));
    };
    const tab = async (expected) => {
      await page.keyboard.press("Tab");
      await focused(expected);
    };
    await page.goto("login");
    await heading(page, "Log in");
    await page.keyboard.press("Tab"); // The word mark.
    await tab("INPUT email");
    for (let steps = 0; steps < 4; steps++) await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "Create an account");
    await page.keyboard.press("Enter");
    await heading(page, "Create an account");
    await focused("H1 Create an account");
    assert.equal(await page.title(), "Create an account · Countersign example");
    await tab("INPUT email");
    await page.keyboard.type("keyboard@example.com");
    await tab("INPUT password");
    await page.keyboard.type(PERSON.password);
    await page.keyboard.press("Tab"); // Show password.
    await tab("INPUT phone");
    await page.keyboard.type("+4915987654321");
    await page.keyboard.press("Enter");
    await heading(page, "Log in");
    await focused("H1 Log in");
    await tab("INPUT email");
    await page.keyboard.type("keyboard@example.com");
    await tab("INPUT password");
    await page.keyboard.type(PERSON.password);
    await page.keyboard.press("Enter");
    await heading(page, "Enter your code");
    await focused("INPUT code");
    const field = page.getByLabel("Code");
    assert.equal(await field.getAttribute("autocomplete"), "one-time-code");
    assert.equal(await field.getAttribute("inputmode"), "numeric");
    await page.keyboard.type(await app.server.code("+4915987654321"));
    await page.keyboard.press("Enter");
    await heading(page, "Welcome!");
    await focused("H1 Welcome!");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await heading(page, "Log in");
    assert.equal(await page.title(), "Log in · Countersign example");
  }));
