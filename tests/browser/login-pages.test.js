// The login pages as their samples are rendered (src/http/login/pages/samples.rs), without the handlers behind them: every one
// at both ends of the range of widths, in the light and in the dark, from left to right and from right to left. PICTURES=1
// keeps a picture of each.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { createServer } from "node:http";
import path from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { DESKTOP, PHONE, assertAccessible, assertNoSidewaysScroll, screenshot, startBrowser, until, withPage } from "./harness.js";

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");
const PAGES = path.join(ROOT, "target/login-pages");
const KINDS = { ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8" };

// LOGIN_PAGES=written looks at what an earlier run has left.
if (process.env.LOGIN_PAGES !== "written") {
  const one = ["test", "--locked", "--quiet", "--lib", "--", "--ignored", "--exact", "http::login::pages::samples::write_every_page"];
  execFileSync("cargo", one, { cwd: ROOT, stdio: ["ignore", "ignore", "inherit"] });
}
const NAMES = readdirSync(path.join(PAGES, "en"));

// The policy under which the real pages run: its one home is the server's source.
const frame = readFileSync(path.join(ROOT, "src/http/frame.rs"), "utf8");
const policy = /"(default-src [^"]*)"/.exec(frame)[1].replace(/\\\s+/g, "");

let browser;
let server;
let sheet = "brand.css";
const forms = [];

before(async () => {
  const files = createServer((request, response) => {
    const { pathname } = new URL(request.url, "http://127.0.0.1");
    response.setHeader("Content-Security-Policy", policy);
    if (request.method === "POST") {
      request.setEncoding("utf8");
      let body = "";
      request.on("data", (part) => (body += part));
      request.on("end", () => {
        forms.push({ path: pathname, fields: Object.fromEntries(new URLSearchParams(body)) });
        response.setHeader("Content-Type", "text/html; charset=utf-8").end("<!doctype html><html lang=en><title>sent</title><link rel=icon href=data:,><p>sent");
      });
      return;
    }
    const file = pathname === "/static/brand.css" ? path.join(PAGES, sheet) : pathname.startsWith("/static/") ? path.join(ROOT, pathname) : path.join(PAGES, pathname);
    let content = "";
    try {
      content = readFileSync(file);
    } catch {
      if (pathname === "/static/passkey.js") content = `document.querySelectorAll("button[hidden]").forEach((button) => (button.hidden = false));`;
      else response.statusCode = 404;
    }
    response.setHeader("Content-Type", KINDS[path.extname(pathname)] ?? "text/html; charset=utf-8").end(content);
  });
  await new Promise((resolve) => files.listen(0, "127.0.0.1", resolve));
  server = { url: `http://127.0.0.1:${files.address().port}`, stop: () => files.close() };
  browser = await startBrowser();
});
after(async () => {
  await browser?.close();
  server?.stop();
});

const LOOKS = [
  { name: "desktop-light", locales: ["en"], viewport: DESKTOP, colorScheme: "light" },
  { name: "desktop-dark", locales: ["en", "ar"], viewport: DESKTOP, colorScheme: "dark" },
  { name: "phone-light", locales: ["en", "ar"], viewport: PHONE, colorScheme: "light" },
  { name: "phone-dark", locales: ["en"], viewport: PHONE, colorScheme: "dark" },
];
// All of these are one page with other words at its top: two of them tell whether it is good.
const ALIKE = /^login-notice-(?!accountcreated|wait)/;

async function walk(locale, options, use) {
  await withPage(browser, server, options, async (page) => {
    for (const name of NAMES.filter((name) => !ALIKE.test(name))) {
      await page.goto(`/${locale}/${name}`);
      await page.evaluate(() => document.querySelectorAll("details").forEach((details) => (details.open = true)));
      await use(page, name);
    }
  });
}

for (const { name: look, locales, ...options } of LOOKS) {
  for (const locale of locales) {
    test(`every page, ${locale}, ${look}`, () =>
      walk(locale, options, async (page, name) => {
        const where = `${name}, ${locale}, ${look}`;
        await assertNoSidewaysScroll(page, where);
        await assertAccessible(page, where);
        const small = await page.evaluate(() =>
          [...document.querySelectorAll("a, button, input:not([type=hidden]):not(.visually-hidden), summary")]
            .filter((control) => control.checkVisibility({ visibilityProperty: true }) && !control.closest(".show-password, .choice"))
            .map((control) => ({ height: control.getBoundingClientRect().height, html: control.outerHTML.slice(0, 90) }))
            .filter(({ height }) => height < 43.5),
        );
        assert.deepEqual(small, [], `${where}: what a finger can hit`);
        if (process.env.PICTURES === "1") await screenshot(page, `login/${locale}-${look}-${name}`);
      }));
  }
}

// Long words are where a layout breaks.
for (const locale of ["de", "ru", "th", "he"]) {
  test(`nothing to scroll sideways on a phone, ${locale}`, () =>
    walk(locale, { viewport: PHONE }, (page, name) => assertNoSidewaysScroll(page, `${name}, ${locale}`)));
}

test("a brand's colours are taken up", async () => {
  sheet = "plum.css";
  try {
    for (const [colorScheme, colour] of [["light", "rgb(122, 46, 142)"], ["dark", "rgb(227, 165, 242)"]]) {
      await withPage(browser, server, { colorScheme }, async (page) => {
        await page.goto("/en/login");
        assert.equal(await page.locator(".button-main").evaluate((button) => getComputedStyle(button).backgroundColor), colour);
        await assertAccessible(page, `login in plum, ${colorScheme}`);
      });
    }
  } finally {
    sheet = "brand.css";
  }
});

test("without a script there is no dead button, and a form can be sent", () =>
  withPage(browser, server, { javaScriptEnabled: false }, async (page) => {
    forms.length = 0;
    await page.goto("/en/verify");
    // The browser's own autofocus may come after the page is loaded.
    await page.locator("input:focus").waitFor();
    await page.keyboard.type("123 456");
    await page.keyboard.press("Enter");
    await page.getByText("sent", { exact: true }).waitFor();
    assert.deepEqual(forms, [{ path: "/verify", fields: { csrf: 'sample"token', phone: "+4915112345678", code: "123 456" } }]);
    await page.goto("/en/verify");
    assert.ok(await page.getByRole("button", { name: "Send a new code" }).isEnabled());
    await page.goto("/en/totp");
    const picture = page.locator(".qr-picture");
    const before = (await picture.boundingBox()).width;
    await picture.click();
    // It grows in a fifth of a second.
    await until(async () => (await picture.boundingBox()).width > before * 1.5, "the picture is larger");
    for (const name of ["login-all-ways", "codes", "security"]) {
      await page.goto(`/en/${name}`);
      for (const button of await page.locator("button[type=button]").all()) assert.equal(await button.isVisible(), false, await button.textContent());
    }
  }));

test("the wait for another code is counted down, and its end announced", () =>
  withPage(browser, server, {}, async (page) => {
    await page.clock.install();
    await page.goto("/en/verify");
    const button = page.getByRole("button", { name: "Send a new code" });
    assert.ok(await button.isDisabled());
    await page.clock.runFor(10_000);
    assert.match(await page.locator("#resend-wait").textContent(), /in (19|20) s\.$/);
    assert.equal(await page.locator("#announcer").textContent(), "");
    await page.clock.runFor(21_000);
    assert.ok(await button.isEnabled());
    assert.equal(await page.locator("#announcer").textContent(), "Send a new code");
    assert.equal(await page.locator("#resend-wait").isVisible(), false);
  }));

test("a code is pasted with its spaces and sent without, once", () =>
  withPage(browser, server, {}, async (page) => {
    forms.length = 0;
    await page.goto("/en/verify");
    await page.evaluate(() => navigator.clipboard.writeText(" 123 456\u200b\n"));
    await page.locator("input:focus").waitFor();
    await page.keyboard.press("Control+V");
    assert.equal(await page.getByLabel("Code", { exact: true }).inputValue(), "123456");
    const prevented = await page.evaluate(() => {
      const form = document.querySelector("form");
      const seen = [];
      document.addEventListener("submit", (event) => {
        seen.push(event.defaultPrevented);
        event.preventDefault();
      });
      form.requestSubmit();
      form.requestSubmit();
      return seen;
    });
    assert.deepEqual(prevented, [false, true], "the second click sends nothing");
  }));

test("a message's code fills itself in and is sent", () =>
  withPage(browser, server, {}, async (page) => {
    forms.length = 0;
    // Chromium on a desk has no text messages: the phone's part is played here.
    await page.addInitScript(() => {
      window.OTPCredential ??= class {};
      navigator.credentials.get = async (options) => (options.otp.transport.includes("sms") ? { code: "987654" } : null);
    });
    await page.goto("/en/verify");
    await page.getByText("sent", { exact: true }).waitFor();
    assert.equal(forms[0].fields.code, "987654");
    await page.goto("/en/verify-totp");
    await page.waitForTimeout(200);
    assert.equal(await page.getByLabel("Code", { exact: true }).inputValue(), "", "no message comes with an app's code");
  }));

test("a password can be shown, is hidden when sent, and its strength is told", () =>
  withPage(browser, server, {}, async (page) => {
    await page.goto("/en/register");
    const field = page.locator("#password");
    const hint = page.locator("[data-strength-text]");
    for (const [password, words] of [["abc", "Easy to guess"], ["aaaaaaaaaaaa", "Easy to guess"], ["1234567890", "Easy to guess"], ["tk9wmpqz", "Fair"], ["correct horse battery staple", "Hard to guess"]]) {
      await field.fill(password);
      assert.equal(await hint.textContent(), words, password);
    }
    const button = page.getByRole("button", { name: "Show password" });
    await button.click();
    assert.equal(await field.getAttribute("type"), "text");
    assert.equal(await button.getAttribute("aria-pressed"), "true");
    assert.equal(await page.evaluate(() => {
      const form = document.querySelector("form");
      form.addEventListener("submit", (event) => event.preventDefault());
      form.dispatchEvent(new SubmitEvent("submit", { cancelable: true, bubbles: true }));
      return document.getElementById("password").type;
    }), "password");
  }));
