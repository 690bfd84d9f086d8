// The dev inbox, as somebody uses it who builds an app against this server.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, test } from "node:test";

import { openInbox, screenshot, startBrowser, startServer, withPage } from "./harness.js";

let server;
let browser;

before(async () => {
  [server, browser] = await Promise.all([startServer(), startBrowser()]);
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

// Each test has a number of its own, so that none sees another's messages.
let numbers = 0;
const newNumber = () => `+49151123${String(10_000 + ++numbers)}`;
const messageTo = (page, to) => page.locator("#messages article").filter({ has: page.locator(`h2:has-text("${to}")`) });
const codeIn = (message) => message.getByLabel("Code", { exact: true }).inputValue();

test("an empty inbox says what to do", () =>
  withPage(browser, server, {}, async (page) => {
    await openInbox(page, "?to=nobody@example.com");
    await page.getByRole("heading", { name: "Nothing for nobody@example.com" }).waitFor();
    assert.match(await page.locator(".example code").textContent(), /curl .*\/v1\/verifications/);
    await screenshot(page, "inbox-empty");
  }));

test("a message appears by itself, and is announced once", () =>
  withPage(browser, server, {}, async (page) => {
    const to = newNumber();
    await openInbox(page);
    await page.evaluate(() => {
      window.notReloaded = true;
      window.announcements = [];
      const announcer = document.getElementById("announcer");
      new MutationObserver(() => announcer.textContent && window.announcements.push(announcer.textContent)).observe(announcer, { childList: true });
    });
    const verification = await server.send({ to });
    const message = messageTo(page, to);
    await message.waitFor();
    assert.equal(await codeIn(message), await server.code(to));
    assert.ok((await message.getAttribute("id")).startsWith(`message-${verification.id}`));
    assert.equal(await page.evaluate(() => window.notReloaded), true, "without a reload");
    await page.waitForFunction(() => window.announcements.length > 0);
    assert.deepEqual(await page.evaluate(() => window.announcements), [`New: SMS to ${to}`]);
  }));

test("the newest message is on top, and each channel looks like itself", () =>
  withPage(browser, server, {}, async (page) => {
    await openInbox(page);
    for (const [channel, heading] of [["sms", "SMS"], ["whatsapp", "WhatsApp"], ["call", "Call"]]) {
      const to = newNumber();
      await server.send({ to, channel });
      await messageTo(page, to).waitFor();
      assert.equal(await page.locator("#messages article h2").first().textContent(), `${heading} to ${to}`);
    }
    await server.send({ to: "ann@example.com" });
    const mail = messageTo(page, "ann@example.com");
    await mail.waitFor();
    assert.match(await mail.locator(".mail-subject").textContent(), /\S/);
  }));

test("what arrives while the page connects is not lost", () =>
  withPage(browser, server, {}, async (page) => {
    const to = newNumber();
    await page.route("**/dev/inbox/events*", async (route) => {
      await server.send({ to });
      await server.code(to);
      await route.continue();
    });
    await page.goto("/dev/inbox");
    await messageTo(page, to).waitFor();
  }));

test("two pages both get a message, each once", () =>
  withPage(browser, server, {}, async (first) => {
    const second = await first.context().newPage();
    const to = newNumber();
    await openInbox(first);
    await openInbox(second);
    await server.send({ to });
    for (const page of [first, second]) {
      await messageTo(page, to).waitFor();
      assert.equal(await messageTo(page, to).count(), 1);
    }
  }));

test("the copy button copies the code and says so", () =>
  withPage(browser, server, {}, async (page) => {
    const to = newNumber();
    await openInbox(page);
    await server.send({ to });
    const button = messageTo(page, to).getByRole("button", { name: `Copy code sent to ${to}` });
    await button.click();
    await messageTo(page, to).getByText("Copied").waitFor();
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), await server.code(to));
    await button.waitFor(); // Its name comes back.
  }));

test("the filter keeps one destination, also of what comes later, in any spelling", () =>
  withPage(browser, server, {}, async (page) => {
    const [wanted, other] = [newNumber(), newNumber()];
    await server.send({ to: wanted });
    await server.send({ to: other });
    await Promise.all([server.code(wanted), server.code(other)]);
    await openInbox(page);
    await page.getByRole("searchbox").fill(`${wanted.slice(0, 3)} (${wanted.slice(3, 6)}) ${wanted.slice(6)}`);
    await page.getByRole("button", { name: "Filter" }).click();
    await page.locator('#connection[data-state="live"]').waitFor();
    assert.equal(await page.locator("#messages article").count(), 1);
    assert.equal(await page.getByRole("searchbox").inputValue(), wanted, "the field shows the one form of the number");
    await server.send({ to: other, purpose: "later" });
    await server.send({ to: wanted, purpose: "later" });
    await page.waitForFunction(() => document.querySelectorAll("#messages article").length === 2);
    assert.equal(await messageTo(page, other).count(), 0);
    await page.getByRole("link", { name: "Show all" }).click();
    await messageTo(page, other).first().waitFor();
  }));

test("everything works by keyboard alone, and the focus can be seen", () =>
  withPage(browser, server, {}, async (page) => {
    const to = newNumber();
    await server.send({ to });
    const code = await server.code(to);
    await openInbox(page);
    const focused = () =>
      page.evaluate(() => {
        const element = document.activeElement;
        const style = getComputedStyle(element);
        const box = element.getBoundingClientRect();
        return {
          name: element.getAttribute("aria-label") ?? element.innerText?.trim() ?? "",
          isSeen: (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0) || style.boxShadow !== "none",
          isOnScreen: box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.width > 1,
        };
      });
    const tabTo = async (isIt, most = 40) => {
      for (let presses = 0; presses < most; presses++) {
        await page.keyboard.press("Tab");
        const element = await focused();
        assert.ok(element.isSeen, `focus on "${element.name}" can be seen`);
        assert.ok(element.isOnScreen, `"${element.name}" is on the screen when it has the focus`);
        if (await isIt(element)) return;
      }
      assert.fail("Tab never got there");
    };

    await tabTo((element) => element.name === "Skip to the content", 1);
    await page.keyboard.press("Enter");
    assert.equal(await page.evaluate(() => document.activeElement.id), "main");

    await tabTo(() => page.evaluate(() => document.activeElement.id === "filter-to"));
    await page.keyboard.type(to);
    await page.keyboard.press("Enter");
    await page.waitForURL(/to=/);
    await page.locator('#connection[data-state="live"]').waitFor();
    assert.equal(await page.locator("#messages article").count(), 1);

    await tabTo((element) => element.name === "Code");
    assert.equal(await page.evaluate(() => getSelection().toString()), code, "Tab selects the whole code");
    await tabTo((element) => element.name.startsWith("Copy code"), 1);
    await page.keyboard.press("Enter");
    await page.getByText("Copied").first().waitFor();
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), code);
  }));

test("without JavaScript a reload shows what came, and the filter works", () =>
  withPage(browser, server, { javaScriptEnabled: false }, async (page) => {
    const to = newNumber();
    await page.goto("/dev/inbox");
    assert.equal(await messageTo(page, to).count(), 0);
    await server.send({ to });
    const code = await server.code(to);
    await page.reload();
    assert.equal(await codeIn(messageTo(page, to)), code);
    assert.equal(await page.getByRole("button", { name: /Copy/ }).count(), 0, "no button that would do nothing");
    assert.equal(await page.locator("#connection").isVisible(), false, "no claim to be live");
    await page.getByRole("searchbox").fill(to);
    await page.getByRole("button", { name: "Filter" }).click();
    assert.equal(await page.locator("#messages article").count(), 1);
    await page.getByRole("link", { name: "Refresh" }).click();
    assert.equal(await page.locator("#messages article").count(), 1, "refreshing keeps the filter");
    await screenshot(page, "inbox-without-javascript");
  }));

/** A provider that answers as Twilio does, when `answer` is called. */
async function startProvider() {
  const waiting = [];
  const provider = createServer((request, response) => waiting.push(response)).listen(0, "127.0.0.1");
  await new Promise((resolve) => provider.once("listening", resolve));
  return {
    variables: {
      COUNTERSIGN_PROVIDER__TWILIO__TYPE: "twilio",
      COUNTERSIGN_PROVIDER__TWILIO__ACCOUNT_SID: "AC0",
      COUNTERSIGN_PROVIDER__TWILIO__AUTH_TOKEN: "a-secret",
      COUNTERSIGN_PROVIDER__TWILIO__FROM: "MyBrand",
      COUNTERSIGN_PROVIDER__TWILIO__BASE_URL: `http://127.0.0.1:${provider.address().port}`,
    },
    async answer(status, body) {
      while (waiting.length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
      waiting.shift().writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(body));
    },
    stop: () => provider.close(),
  };
}

test("what becomes of a message shows by itself, and after a reload without JavaScript", async () => {
  const provider = await startProvider();
  const real = await startServer(provider.variables);
  try {
    const to = newNumber();
    const fate = (page) => messageTo(page, to).locator(".fate");
    await withPage(browser, real, {}, async (page) => {
      await openInbox(page);
      assert.match(await page.locator(".notice").textContent(), /really sent/);
      assert.equal(await page.getByText("sends none").count(), 0);
      await real.send({ to });
      await messageTo(page, to).waitFor();
      assert.equal(await fate(page).textContent(), "Queued");
      await messageTo(page, to).getByLabel("Code", { exact: true }).focus();
      await provider.answer(400, { code: 21211, message: "Invalid 'To' Phone Number", status: 400 });
      await fate(page).getByText("Failed").waitFor();
      assert.equal(await messageTo(page, to).locator(".cause").textContent(), "twilio: the number cannot receive it (21211)");
      assert.equal(await page.locator("#announcer").textContent(), `Failed: SMS to ${to}`);
      assert.equal(await page.evaluate(() => getSelection().toString().length > 0 || document.activeElement.matches(".code")), true, "nothing is taken from under the cursor");
      assert.equal(await messageTo(page, to).count(), 1);
      await screenshot(page, "inbox-failed");
    });
    await withPage(browser, real, { javaScriptEnabled: false }, async (page) => {
      await page.goto("/dev/inbox");
      assert.equal(await fate(page).textContent(), "Failed");
      const taken = newNumber();
      await real.send({ to: taken });
      await provider.answer(201, { sid: "SM0123456789abcdef0123456789abcdef" });
      await real.message(taken, "sent");
      await page.getByRole("link", { name: "Refresh" }).click();
      assert.equal(await messageTo(page, taken).locator(".fate").textContent(), "Sent");
      assert.equal(await messageTo(page, taken).locator(".cause").isVisible(), false);
    });
  } finally {
    await real.stop();
    provider.stop();
  }
});

test("a call shows what is said", () =>
  withPage(browser, server, {}, async (page) => {
    const to = newNumber();
    await openInbox(page);
    await server.send({ to, channel: "call" });
    const spoken = (await server.code(to)).split("").join(" ");
    await messageTo(page, to).getByText(spoken).waitFor();
    await page.reload();
    await messageTo(page, to).getByText(spoken).waitFor();
  }));

test("a mail is shown as a page that can do nothing, and as text", (context) =>
  withPage(browser, server, {}, async (page) => {
    await openInbox(page);
    const to = "page@example.com";
    await server.send({ to });
    const { html, code } = await server.message(to);
    if (!html) return context.skip("the mails of this version have no page");
    for (const loading of ["live", "after a reload"]) {
      const frame = messageTo(page, to).locator("iframe");
      await frame.scrollIntoViewIfNeeded();
      assert.equal(await frame.getAttribute("sandbox"), "", loading);
      await frame.contentFrame().getByText(code).first().waitFor();
      const text = messageTo(page, to).locator(".mail-body");
      assert.equal(await text.isVisible(), false, "folded away");
      await messageTo(page, to).locator("summary").click();
      assert.match(await text.textContent(), new RegExp(code));
      await screenshot(page, "inbox-mail");
      await page.reload();
    }
    const policy = (await fetch(new URL(html, server.url))).headers.get("content-security-policy");
    assert.match(policy, /default-src 'none'.*sandbox/);
  }));
