// An authenticator app, its challenges, webhooks and texts by Twilio's own SDK for Node: `node factors.mjs PACKAGE`. Only the base
// URLs are other ones. run.js says in the environment where the server is (SERVER and API by Prism or not) and who calls.

import assert from "node:assert/strict";
import crypto from "node:crypto";
import http from "node:http";

const { SERVER, API = SERVER, ACCOUNT_SID, AUTH_TOKEN, FIRST_NUMBER } = process.env;
const { default: twilio } = await import(process.argv[2]);
const client = twilio(ACCOUNT_SID, AUTH_TOKEN);
client.verify.baseUrl = SERVER;
client.api.baseUrl = API;
const to = `+49151${FIRST_NUMBER}`;

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/** RFC 6238 with SHA-1, six digits, thirty seconds; `steps` from now. */
function totp(secret, steps = 0) {
  const bits = [...secret].map((letter) => ALPHABET.indexOf(letter).toString(2).padStart(5, "0")).join("");
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30000) + steps));
  const mac = crypto.createHmac("sha1", key).update(counter).digest();
  const offset = mac[19] & 15;
  return String((mac.readUInt32BE(offset) & 0x7fffffff) % 1000000).padStart(6, "0");
}

/** A code that is right at no time near now. */
function wrong(secret) {
  const right = [-2, -1, 0, 1, 2].map((steps) => totp(secret, steps));
  return ["000000", "111111", "222222", "333333", "444444", "555555"].find((code) => !right.includes(code));
}

async function refused(code, work) {
  await assert.rejects(work, (error) => error.code === code && typeof error.message === "string" && error.message.length > 0);
}

/** What is posted to us, with the signature checked by the SDK. */
function receiver() {
  const events = [];
  const server = http.createServer((request, response) => {
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", () => {
      const form = Object.fromEntries(new URLSearchParams(Buffer.concat(chunks).toString()));
      const url = `http://127.0.0.1:${server.address().port}${request.url}`;
      const signature = request.headers["x-twilio-signature"];
      events.push({ form, valid: twilio.validateRequest(AUTH_TOKEN, signature, url, form) });
      response.end();
    });
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve({ server, events })));
}

async function until(what, ask) {
  for (let round = 0; round < 400; round += 1) {
    const answer = await ask();
    if (answer) return answer;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`in vain: ${what}`);
}

const { server, events } = await receiver();
const hook = `http://127.0.0.1:${server.address().port}/hook?x=1`;
const { sid } = await client.verify.v2.services.create({ friendlyName: "Acme", "totp.issuer": "Acme Inc" });
const service = client.verify.v2.services(sid);
const webhook = await service.webhooks.create({ friendlyName: "wh", eventTypes: ["factor.verified", "challenge.approved"], webhookUrl: hook });
assert.deepEqual(webhook.eventTypes, ["factor.verified", "challenge.approved"]);
assert.equal((await service.webhooks.list()).length, 1);

const person = service.entities("user-0123456789");
const factor = await person.newFactors.create({
  friendlyName: "Bob's phone", factorType: "totp", "config.skew": 1, metadata: { os: "x" },
});
assert.equal(factor.status, "unverified");
const { secret, uri } = factor.binding;
assert.ok(uri.startsWith("otpauth://totp/Acme%20Inc:Bob%27s%20phone?secret="), uri);
await refused(60318, () => person.challenges.create({ factorSid: factor.sid }));
assert.equal((await person.factors(factor.sid).update({ authPayload: wrong(secret) })).status, "unverified");
// The step before: so that the current one is left for the challenge.
assert.equal((await person.factors(factor.sid).update({ authPayload: totp(secret, -1) })).status, "verified");
assert.equal((await person.factors(factor.sid).fetch()).binding, undefined);

const challenge = await person.challenges.create({
  factorSid: factor.sid,
  expirationDate: new Date(Date.now() + 10 * 60 * 1000),
  "details.message": "Login?",
  "details.fields": [{ label: "IP", value: "1.2.3.4" }, { label: "x", value: "y" }],
  hiddenDetails: { ip: "1" },
});
assert.equal(challenge.status, "pending");
assert.equal(challenge.dateResponded, null);
assert.equal(challenge.details.fields.length, 2);
assert.equal((await person.challenges(challenge.sid).update({ authPayload: wrong(secret) })).status, "pending");
const code = totp(secret);
const approved = await person.challenges(challenge.sid).update({ authPayload: code });
assert.equal(approved.status, "approved");
assert.ok(approved.dateResponded instanceof Date);
await refused(60322, () => person.challenges(challenge.sid).update({ authPayload: totp(secret, 1) }));
const replayed = await person.challenges.create({ factorSid: factor.sid, authPayload: code });
assert.equal(replayed.status, "pending", "a code counts once");
for (let tries = 0; tries < 4; tries += 1) {
  await person.challenges(replayed.sid).update({ authPayload: wrong(secret) });
}
await refused(60308, () => person.challenges(replayed.sid).update({ authPayload: wrong(secret) }));
assert.equal((await person.challenges.list({ pageSize: 1 })).length, 2);
assert.equal((await person.challenges.list({ status: "approved", order: "desc" })).length, 1);
await refused(60204, () => person.newFactors.create({ friendlyName: "x", factorType: "push" }));
await refused(60300, () => person.newFactors.create({ friendlyName: "x", factorType: "totp", "config.codeLength": 4 }));
await refused(60204, () => service.accessTokens.create({ identity: "user-0123456789", factorType: "push" }));

await until("two events", () => events.length === 2);
assert.ok(events.every((event) => event.valid), "the SDK believes the signatures");
assert.deepEqual(events.map((event) => event.form.type).sort(), ["challenge.approved", "factor.verified"]);

for (let number = 0; number < 5; number += 1) {
  await service.entities.create({ identity: `person-000${number}` });
}
await refused(60301, () => service.entities.create({ identity: "person-0000" }));
assert.equal((await service.entities.list({ pageSize: 2 })).length, 6);
await service.entities.each({ pageSize: 2 }, (entity) => assert.match(entity.sid, /^YE[0-9a-f]{32}$/));
assert.equal(await person.factors(factor.sid).remove(), true);
assert.equal(await person.remove(), true);
await refused(20404, () => person.fetch());

const number = await client.verify.v2.safelist.create({ phoneNumber: to });
assert.equal((await client.verify.v2.safelist(to).fetch()).sid, number.sid);
assert.equal(await client.verify.v2.safelist(to).remove(), true);
assert.equal((await client.verify.v2.templates.list()).length, 3);

const message = await client.messages.create({
  to: to, from: "+15005550006", body: "Héllo & 1=2", validityPeriod: 600, statusCallback: hook,
});
assert.equal(message.status, "queued");
assert.ok(message.dateCreated instanceof Date);
await until("the text", async () => (await client.messages(message.sid).fetch()).status === "sent");
assert.ok((await client.messages.list({ to: to, pageSize: 1, limit: 1 }))[0].body.startsWith("Héllo"));
const told = await until("the callback", () => events.find((event) => event.form.MessageSid === message.sid));
assert.ok(told.valid && told.form.MessageStatus === "sent");
assert.equal(await client.messages(message.sid).remove(), true);
server.close();
console.log(`factors: ${process.argv[2]} has walked`);
