// What people get by mail, and the page behind its link: on a phone and on a desk, in the light and in the dark, from left to
// right and from right to left.

import assert from "node:assert/strict";
import { readFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";

import { DESKTOP, assertAccessible, assertNoSidewaysScroll, screenshot, startBrowser, startServer, withPage } from "./harness.js";

let server;
let browser;
let directory;

before(async () => {
  directory = mkdtempSync(path.join(tmpdir(), "countersign-mail-"));
  [server, browser] = await Promise.all([startServer(), startBrowser()]);
});
after(async () => {
  await browser?.close();
  await server?.stop();
  rmSync(directory, { recursive: true });
});

const VIEWPORTS = { desktop: DESKTOP, phone: { width: 360, height: 640 } };
const LANGUAGES = ["en", "ar"];

for (const locale of LANGUAGES) {
  for (const [size, viewport] of Object.entries(VIEWPORTS)) {
    for (const colorScheme of ["light", "dark"]) {
      test(`mail, ${locale}, ${size}, ${colorScheme}`, () =>
        withPage(browser, server, { viewport, colorScheme }, async (page) => {
          const file = path.join(directory, `${locale}.html`);
          server.run("template", "preview", "--channel", "email", "--locale", locale, "--html", file);
          await page.setContent(readFileSync(file, "utf8"));
          await assertNoSidewaysScroll(page, "the mail");
          await assertAccessible(page, "the mail");
          const code = page.getByText("123456", { exact: true });
          const { size: digits, lines, selected } = await code.evaluate((element) => {
            getSelection().selectAllChildren(element);
            const { fontSize, lineHeight, paddingTop, paddingBottom } = getComputedStyle(element);
            const height = element.clientHeight - parseFloat(paddingTop) - parseFloat(paddingBottom);
            return { size: parseFloat(fontSize), lines: Math.round(height / parseFloat(lineHeight)), selected: getSelection().toString().trim() };
          });
          assert.ok(digits >= 32 && lines === 1, `digits of ${digits} px in ${lines} lines`);
          assert.equal(selected, "123456");
          await page.evaluate(() => getSelection().removeAllRanges());
          const { background, color } = await page.evaluate(() => {
            // The window's own colours: what the reader's scheme makes of a page that sets none.
            const probe = document.body.appendChild(document.createElement("i"));
            probe.style.cssText = "background: Canvas; color: CanvasText";
            const { backgroundColor: background, color } = getComputedStyle(probe);
            probe.remove();
            return { background, color };
          });
          const brightness = (text) => text.match(/\d+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0);
          assert.equal(brightness(background) > brightness(color), colorScheme === "light", `${color} on ${background}`);
          assert.equal(await page.evaluate(() => getComputedStyle(document.querySelector("h1")).color), color, "text has the scheme's colour");
          await screenshot(page, `mail-${locale}-${size}-${colorScheme}`);
        }));

      test(`notice, ${locale}, ${size}, ${colorScheme}`, () =>
        withPage(browser, server, { viewport, colorScheme }, async (page) => {
          const file = path.join(directory, `notice-${locale}.html`);
          server.run("template", "preview", "--notice", "factor_removed", "--channel", "email", "--locale", locale, "--html", file);
          await page.setContent(readFileSync(file, "utf8"));
          await assertNoSidewaysScroll(page, "the notice");
          await assertAccessible(page, "the notice");
          await screenshot(page, `notice-${locale}-${size}-${colorScheme}`);
        }));

      test(`not me, ${locale}, ${size}, ${colorScheme}`, () =>
        withPage(browser, server, { viewport, colorScheme }, async (page) => {
          const to = `${locale}-${size}-${colorScheme}@example.com`;
          await server.send({ to, locale });
          const link = await server.link(to);
          assert.equal((await page.goto(link)).status(), 200);
          const look = async (name) => {
            await assertNoSidewaysScroll(page, name);
            await assertAccessible(page, name);
            await screenshot(page, `not-me-${name}-${locale}-${size}-${colorScheme}`);
          };
          await look("ask");
          const question = await page.getByRole("heading").textContent();
          const button = page.getByRole("button");
          const box = await button.boundingBox();
          assert.ok(box.height >= 44, `a button of ${box.height} px`);
          await button.click();
          await page.waitForFunction(() => !document.querySelector("button"));
          assert.notEqual(await page.getByRole("heading").textContent(), question);
          await look("done");
          await page.goto(link);
          await look("gone");
        }));
    }
  }
}

test("the page needs no script, and a keyboard is enough", () =>
  withPage(browser, server, { javaScriptEnabled: false }, async (page) => {
    await server.send({ to: "keyboard@example.com" });
    await page.goto(await server.link("keyboard@example.com"));
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "The code no longer works" }).waitFor();
    assert.equal(await page.getByRole("button").count(), 0);
  }));
