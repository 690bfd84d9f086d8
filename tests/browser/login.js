// What the tests of the login pages share: people, and the steps that they take. Fields are found by the names that the
// tutorials' forms use.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";

/** Whatever a page that refuses may be answered with. */
export const REFUSED = [200, 400, 401, 403, 409, 422, 429];
export const CREATED = "Account created successfully! You can now login.";
export const INVALID = "Invalid or expired verification code";

/** Everybody in a test has one address. */
export const NO_LIMITS = {
  COUNTERSIGN_SERVICE__DEFAULT__LIMITS__IP_SENDS: "1000/1h",
  COUNTERSIGN_SERVICE__DEFAULT__LIMITS__IP_CHECKS: "1000/1h",
  COUNTERSIGN_ACCOUNTS__LIMITS__IP_SIGN_INS: "1000/1m",
  COUNTERSIGN_ACCOUNTS__LIMITS__IP_REGISTRATIONS: "1000/1h",
};

let people = 0;
/** Each test has people of its own. */
export function newPerson() {
  people += 1;
  return { fullname: `Ann Example the ${people}th`, phone: `+49151234${String(60_000 + people)}`, password: "a long enough pass phrase" };
}

export const field = (page, name) => page.locator(`main [name="${name}"]:not([type="hidden"])`);
export const pathOf = (page) => new URL(page.url()).pathname;
export const main = (page) => page.locator("main");

/** Sends the form that posts to `action`, and waits for the page that comes. */
export async function send(page, action) {
  const answered = page.waitForResponse((response) => response.request().method() === "POST" && new URL(response.url()).pathname === action);
  const loaded = page.waitForEvent("load");
  await page.locator(`form[action="${action}"]`).locator("button:not([type=button]):not([formaction])").first().click();
  const [answer] = await Promise.all([answered, loaded]);
  return answer.status();
}

export async function fill(page, values) {
  for (const [name, value] of Object.entries(values)) await field(page, name).fill(value);
}

export async function register(page, person) {
  await page.goto("/register");
  await fill(page, person);
  await send(page, "/register");
  await main(page).getByText(CREATED).waitFor();
}

export async function logIn(page, { phone, password }) {
  await page.goto("/login");
  await fill(page, { phone, password });
  await send(page, "/login");
  assert.equal(pathOf(page), "/verify");
  await field(page, "code").waitFor();
}

export async function verify(page, code) {
  await field(page, "code").fill(code);
  return send(page, "/verify");
}

/** The newest code to a number or address, once it is another than `before`. */
export async function nextCode(server, to, before) {
  for (let tries = 0; tries < 100; tries++) {
    const code = await server.code(to);
    if (code !== before) return code;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`no new code for ${to}`);
}

export async function assertProfile(page, person) {
  assert.equal(pathOf(page), "/profile");
  await main(page).getByText(person.fullname).first().waitFor();
}

export async function assertLoggedOut(page) {
  await page.goto("/profile");
  assert.equal(pathOf(page), "/login", "no profile without a session");
}

/** Registered and signed in, by the code in the inbox. */
export async function arrive(server, page, person) {
  await register(page, person);
  await logIn(page, person);
  await verify(page, await server.code(person.phone));
  await assertProfile(page, person);
}

export async function logOut(page) {
  await page.goto("/logout");
  await send(page, "/logout");
}

/** What an authenticator app shows (RFC 6238), so many steps of 30 s away from now. */
export function appCode(key, steps = 0) {
  const bits = [...key.replaceAll(" ", "")].map((letter) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(letter).toString(2).padStart(5, "0")).join("");
  const secret = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + steps));
  const digest = createHmac("sha1", secret).update(counter).digest();
  const number = digest.readUInt32BE(digest[19] & 15) & 0x7fffffff;
  return String(number % 1_000_000).padStart(6, "0");
}
