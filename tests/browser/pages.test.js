// Every page, in both colour schemes and at both ends of the range of widths: nothing for axe to find, nothing to scroll
// sideways, no complaint from the browser.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { DESKTOP, PHONE, assertAccessible, assertNoSidewaysScroll, openInbox, screenshot, startBrowser, startServer, withPage } from "./harness.js";

let server;
let browser;

before(async () => {
  [server, browser] = await Promise.all([startServer(), startBrowser()]);
  const samples = [
    { to: "a-rather-long-mailbox-name-that-somebody-really-has@mail.a-rather-long-company-name.example" },
    { to: "+919876543210", channel: "call" },
    { to: "+33612345678", channel: "whatsapp" },
    { to: "ann@example.com", purpose: "login" },
    { to: "+4915112345678" },
  ];
  // One after the other: the picture for the documentation has them in this order.
  for (const sample of samples) {
    await server.send(sample);
    await server.code(sample.to);
  }
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

const PAGES = [
  { name: "home", path: "/" },
  { name: "inbox", path: "/dev/inbox" },
  { name: "inbox-filtered-empty", path: "/dev/inbox?to=nobody@example.com" },
  { name: "docs", path: "/docs" },
  { name: "error", path: "/there-is-no-such-page", status: 404 },
];
const VIEWPORTS = { desktop: DESKTOP, phone: PHONE };

for (const { name, path, status = 200 } of PAGES) {
  for (const [size, viewport] of Object.entries(VIEWPORTS)) {
    for (const colorScheme of ["light", "dark"]) {
      test(`${name}, ${size}, ${colorScheme}`, () =>
        withPage(browser, server, { viewport, colorScheme, expectStatus: status }, async (page) => {
          if (path.startsWith("/dev/inbox")) await openInbox(page, path.slice("/dev/inbox".length));
          else assert.equal((await page.goto(path)).status(), status);
          await assertNoSidewaysScroll(page, name);
          await assertAccessible(page, name);
          const isCover = name === "inbox" && size === "desktop" && colorScheme === "light";
          if (isCover) await screenshot(page, "inbox-cover", { picture: "inbox" });
          await screenshot(page, `${name}-${size}-${colorScheme}`);
          // What is folded away must be as good as what is open.
          const folded = await page.evaluate(() => {
            const closed = document.querySelectorAll("details:not([open])");
            closed.forEach((details) => (details.open = true));
            return closed.length;
          });
          if (folded > 0) {
            await assertNoSidewaysScroll(page, `${name}, unfolded`);
            await assertAccessible(page, `${name}, unfolded`);
          }
        }));
    }
  }
}

test("light and dark are two schemes", async () => {
  const backgrounds = [];
  for (const colorScheme of ["light", "dark"]) {
    await withPage(browser, server, { colorScheme }, async (page) => {
      await page.goto("/");
      backgrounds.push(await page.evaluate(() => getComputedStyle(document.body).backgroundColor));
    });
  }
  const brightness = backgrounds.map((color) => color.match(/\d+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0));
  assert.ok(brightness[0] > 600 && brightness[1] < 165, `light ${backgrounds[0]}, dark ${backgrounds[1]}`);
});

test("the links of every page lead somewhere", async () => {
  const seen = new Set();
  for (const { path, status = 200 } of PAGES) {
    await withPage(browser, server, { expectStatus: status }, async (page) => {
      await page.goto(path);
      for (const link of await page.locator("a[href]").all()) {
        const address = new URL(await link.getAttribute("href"), page.url());
        if (address.hash) {
          assert.equal(await page.locator(`[id="${address.hash.slice(1)}"]`).count(), 1, `${address.href} names one element`);
        } else if (address.href !== page.url() && !seen.has(address.href)) {
          seen.add(address.href);
          assert.equal((await fetch(address)).status, 200, address.href);
        }
      }
    });
  }
});

test("text from an address stays text", () =>
  withPage(browser, server, {}, async (page) => {
    const attack = `"><img src=x onerror=alert(1)><script>alert(2)</script>`;
    await openInbox(page, `?to=${encodeURIComponent(attack)}`);
    assert.equal(await page.getByRole("searchbox").inputValue(), attack);
    assert.equal(await page.locator("img[src=x]").count(), 0);
  }));
