// What an app written for Twilio Verify does, with Twilio's own SDK: `node walk.mjs PACKAGE` (twilio, twilio-5, twilio-4).
// Only the base URL is another one. run.js says in the environment where the server is and whose credentials are used.

import assert from "node:assert/strict";

const { SERVER, INBOX, ACCOUNT_SID, AUTH_TOKEN, API_KEY_SID, API_KEY_SECRET, OTHER_ACCOUNT_SID, OTHER_AUTH_TOKEN, FIRST_NUMBER } = process.env;
const { default: twilio } = await import(process.argv[2]);

const at = (client) => {
  client.verify.baseUrl = SERVER;
  return client.verify.v2;
};
const verify = at(twilio(ACCOUNT_SID, AUTH_TOKEN));
const withKey = at(twilio(API_KEY_SID, API_KEY_SECRET, { accountSid: ACCOUNT_SID }));
const stranger = at(twilio(OTHER_ACCOUNT_SID, OTHER_AUTH_TOKEN));

let numbers = Number(FIRST_NUMBER);
const number = () => `+49151${numbers++}`;

/** The newest code that was sent to somebody. */
async function codeOf(to) {
  for (let tries = 0; tries < 200; tries++) {
    const [message] = await (await fetch(`${INBOX}/dev/inbox.json?to=${encodeURIComponent(to)}`)).json();
    if (message) return message.code;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`no message for ${to}`);
}
const wrong = (code) => code.slice(0, -1) + ((Number(code.at(-1)) + 1) % 10);

async function refused(status, code, work) {
  const error = await work.then(() => assert.fail(`not refused with ${code}`), (error) => error);
  assert.deepEqual([error.status, error.code], [status, code], error.message);
  assert.equal(error.moreInfo, `https://www.twilio.com/docs/errors/${code}`);
  assert.ok(error.message);
}

// Services.
const service = await verify.services.create({ friendlyName: "My App", codeLength: 6 });
assert.match(service.sid, /^VA[0-9a-f]{32}$/);
assert.equal(service.accountSid, ACCOUNT_SID);
assert.ok(service.dateCreated instanceof Date && !Number.isNaN(service.dateCreated.valueOf()));
const here = verify.services(service.sid);
assert.equal((await here.fetch()).friendlyName, "My App");
assert.equal((await here.update({ friendlyName: "Acme", customCodeEnabled: true })).friendlyName, "Acme");
await refused(400, 60200, verify.services.create({ friendlyName: "Short", codeLength: 4 }));
await refused(404, 20404, stranger.services(service.sid).fetch());
await refused(401, 20003, at(twilio(ACCOUNT_SID, "0".repeat(32))).services(service.sid).fetch());

// Start, wrong, right, used.
{
  const to = number();
  const started = await here.verifications.create({ to, channel: "sms", locale: "de", tags: '{"plan":"free"}' });
  assert.deepEqual([started.status, started.valid, started.to, started.channel], ["pending", false, to, "sms"]);
  assert.match(started.sid, /^VE[0-9a-f]{32}$/);
  assert.equal(started.sendCodeAttempts.length, 1);
  assert.equal(started.sendCodeAttempts[0].channel, "SMS");
  const code = await codeOf(to);
  const no = await here.verificationChecks.create({ to, code: wrong(code) });
  assert.deepEqual([no.status, no.valid, no.sid], ["pending", false, started.sid]);
  assert.equal((await here.verifications(started.sid).fetch()).status, "pending");
  assert.equal((await here.verifications(to).fetch()).sid, started.sid);
  const yes = await here.verificationChecks.create({ verificationSid: started.sid, code });
  assert.deepEqual([yes.status, yes.valid, yes.to], ["approved", true, to]);
  await refused(404, 20404, here.verificationChecks.create({ to, code }));
  await refused(404, 20404, here.verifications(started.sid).fetch());
  await refused(404, 20404, stranger.services(service.sid).verificationChecks.create({ to, code }));
}

// Send again: the same verification and code. Most messages, and what is said then.
{
  const to = number();
  const first = await here.verifications.create({ to, channel: "sms" });
  const code = await codeOf(to);
  for (let message = 2; message <= 5; message++) {
    const again = await here.verifications.create({ to, channel: "sms" });
    assert.equal(again.sid, first.sid);
    assert.equal(again.sendCodeAttempts.length, message);
  }
  await refused(429, 60203, here.verifications.create({ to, channel: "sms" }));
  assert.equal((await here.verificationChecks.create({ to, code })).status, "approved");
}

// Most checks.
{
  const to = number();
  const started = await here.verifications.create({ to, channel: "sms" });
  const code = await codeOf(to);
  for (let tries = 0; tries < 5; tries++) {
    assert.equal((await here.verificationChecks.create({ to, code: wrong(code) })).valid, false);
  }
  await refused(429, 60202, here.verificationChecks.create({ to, code }));
  await refused(429, 60202, here.verificationChecks.create({ verificationSid: started.sid, code }));
}

// Called off, and approved on the caller's word.
{
  const to = number();
  const started = await here.verifications.create({ to, channel: "sms" });
  const code = await codeOf(to);
  assert.equal((await here.verifications(started.sid).update({ status: "canceled" })).status, "canceled");
  await refused(404, 20404, here.verificationChecks.create({ to, code }));
  const own = await here.verifications.create({ to, channel: "sms", customCode: "424242" });
  assert.notEqual(own.sid, started.sid);
  const approved = await here.verifications(to).update({ status: "approved" });
  assert.deepEqual([approved.status, approved.valid, approved.sid], ["approved", true, own.sid]);
  const other = number();
  await here.verifications.create({ to: other, channel: "sms", customCode: "135790" });
  assert.equal((await here.verificationChecks.create({ to: other, code: "135790" })).status, "approved");
}

// Mail: a plus sign in the path, raw.
{
  const to = `ann+${FIRST_NUMBER}@example.com`;
  const started = await here.verifications.create({ to, channel: "email" });
  assert.equal((await here.verifications(to).fetch()).sid, started.sid);
  assert.equal((await here.verificationChecks.create({ to, code: await codeOf(to) })).status, "approved");
}

// What is refused.
await refused(400, 60200, here.verifications.create({ to: "+49123", channel: "sms" }));
await refused(400, 60200, here.verifications.create({ to: number(), channel: "pigeon" }));
await refused(403, 60223, here.verifications.create({ to: number(), channel: "sna" }));
await refused(400, 60200, here.verifications.create({ to: number(), channel: "sms", customCode: "1234" }));
await refused(400, 60200, here.verifications.create({ to: number(), channel: "sms", amount: "39.99", payee: "Acme" }));
await refused(400, 60221, here.verificationChecks.create({ code: "123456" }));
await refused(400, 60200, here.verificationChecks.create({ to: number(), code: "123" }));
await refused(404, 20404, verify.services(`VA${"0".repeat(32)}`).verifications.create({ to: number(), channel: "sms" }));

// Limits of the app's own.
{
  const limit = await here.rateLimits.create({ uniqueName: "end_user_ip", description: "one a minute" });
  const bucket = await here.rateLimits(limit.sid).buckets.create({ max: 1, interval: 60 });
  assert.deepEqual([bucket.max, bucket.interval, bucket.rateLimitSid], [1, 60, limit.sid]);
  await refused(400, 60208, here.rateLimits.create({ uniqueName: "end_user_ip" }));
  await refused(400, 60211, here.rateLimits(limit.sid).buckets.create({ max: 9, interval: 60 }));
  const start = (ip) => here.verifications.create({ to: number(), channel: "sms", rateLimits: { end_user_ip: ip } });
  await start("192.0.2.1");
  await refused(429, 20429, start("192.0.2.1"));
  await start("192.0.2.2");
  assert.equal((await here.rateLimits(limit.sid).buckets(bucket.sid).update({ max: 2 })).max, 2);
  await start("192.0.2.1");
  assert.equal((await here.rateLimits(limit.sid).update({ description: "two" })).description, "two");
  assert.equal((await here.rateLimits.list()).length, 1);
  assert.equal((await here.rateLimits(limit.sid).buckets.list()).length, 1);
  assert.equal(await here.rateLimits(limit.sid).buckets(bucket.sid).remove(), true);
  assert.equal(await here.rateLimits(limit.sid).remove(), true);
  await refused(404, 20404, here.rateLimits(limit.sid).fetch());
}

// Attempts, and what became of them.
{
  const attempts = await verify.verificationAttempts.list({ verifyServiceSid: service.sid, limit: 100 });
  assert.ok(attempts.length >= 10);
  assert.ok(attempts.every((attempt) => attempt.serviceSid === service.sid && /^VL[0-9a-f]{32}$/.test(attempt.sid)));
  const one = await verify.verificationAttempts(attempts[0].sid).fetch();
  assert.deepEqual([one.sid, one.verificationSid], [attempts[0].sid, attempts[0].verificationSid]);
  assert.ok(one.dateCreated instanceof Date);
  const converted = await verify.verificationAttempts.list({ verifyServiceSid: service.sid, status: "converted", limit: 100 });
  assert.ok(converted.length >= 4 && converted.every((attempt) => attempt.conversionStatus === "converted"));
  const sums = await verify.verificationAttemptsSummary().fetch({ verifyServiceSid: service.sid });
  assert.deepEqual([sums.totalAttempts, sums.totalConverted], [attempts.length, converted.length]);
  await refused(404, 20404, stranger.verificationAttempts(attempts[0].sid).fetch());
}

// An API key is worth what its account is; pages are followed to their end.
{
  const made = [];
  for (let index = 0; index < 5; index++) made.push((await withKey.services.create({ friendlyName: `Page ${index}` })).sid);
  const listed = (await withKey.services.list({ pageSize: 2 })).map((one) => one.sid);
  assert.equal(new Set(listed).size, listed.length);
  for (const sid of [service.sid, ...made]) assert.ok(listed.includes(sid));
  assert.ok(!(await stranger.services.list()).some((one) => one.sid === service.sid));
  const page = await withKey.services.page({ pageSize: 2 });
  assert.equal(page.instances.length, 2);
  assert.ok(page.nextPageUrl.startsWith("http"));
  for (const sid of made) assert.equal(await withKey.services(sid).remove(), true);
}

assert.equal(await here.remove(), true);
await refused(404, 20404, here.fetch());
console.log(`${process.argv[2]}: every step as with Twilio`);
