// Starts Prism on Twilio's own API definitions, on private ports, and runs the tests that need it (tests/it/prism.rs).
// Prism answers 422 to a request that a definition does not allow, 415 to a body of another kind, 401 without credentials.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createServer } from "node:net";
import path from "node:path";
import { fileURLToPath } from "node:url";

const HERE = path.dirname(fileURLToPath(import.meta.url));
const ROOT = path.resolve(HERE, "../..");
const PRISM = path.join(HERE, "node_modules/@stoplight/prism-cli/dist/index.js");
const SERVICE = "VA00000000000000000000000000000000";

const children = [];

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/** Prism for one definition: its address, once it listens. */
async function prism(definition) {
  const port = await freePort();
  const file = path.join(ROOT, "tests/fixtures/twilio", definition);
  const child = spawn(process.execPath, [PRISM, "mock", "-h", "127.0.0.1", "-p", String(port), file], { stdio: ["ignore", "pipe", "pipe"] });
  children.push(child);
  let said = "";
  await new Promise((resolve, reject) => {
    const read = (chunk) => {
      said += chunk;
      if (said.includes("Prism is listening")) resolve();
    };
    child.stdout.on("data", read);
    child.stderr.on("data", read);
    child.once("error", reject);
    child.once("exit", (status) => reject(new Error(`Prism ended with ${status}:\n${said}`)));
  });
  return `http://127.0.0.1:${port}`;
}

async function post(url, form, headers = {}) {
  const authorization = `Basic ${Buffer.from("AC1:hush").toString("base64")}`;
  const response = await fetch(url, { method: "POST", headers: { authorization, ...headers }, body: form });
  return response.status;
}

/** Prism must refuse what is wrong, or its approval is worth nothing. */
async function provePrismChecks(verify, messages) {
  const starts = `${verify}/v2/Services/${SERVICE}/Verifications`;
  const right = { To: "+15017122661", Channel: "sms" };
  assert.equal(await post(starts, new URLSearchParams(right)), 201, "a right request");
  assert.equal(await post(starts, new URLSearchParams({ Channel: "sms" })), 422, "a start without To");
  assert.equal(await post(starts, JSON.stringify(right), { "content-type": "application/json" }), 415, "a start in JSON");
  assert.equal(await post(`${verify}/v2/Services/VA1/Verifications`, new URLSearchParams(right)), 422, "a service that is none");
  const account = `${messages}/2010-04-01/Accounts/AC${"a".repeat(32)}`;
  assert.equal(await post(`${account}/Messages.json`, new URLSearchParams({ Body: "x" })), 422, "a message without To");
  assert.equal(await post(`${account}/Messages.json`, new URLSearchParams({ To: "+15017122661", ValidityPeriod: "long" })), 422, "a period that is no number");
  assert.equal(await post(`${account}/Calls.json`, new URLSearchParams({ To: "+15017122661" })), 404, "calls are in no definition");
}

function cargo(environment) {
  const test = ["nextest", "run", "--locked", "--show-progress=none", "--no-tests=fail", "--run-ignored=only", "-E", "test(/^prism::/)"];
  const child = spawn("cargo", test, { cwd: ROOT, stdio: "inherit", env: { ...process.env, ...environment } });
  return new Promise((resolve, reject) => child.once("error", reject).once("exit", resolve));
}

try {
  const [verify, messages] = await Promise.all([prism("twilio_verify_v2.prism.json"), prism("twilio_messages_v2010.prism.json")]);
  await provePrismChecks(verify, messages);
  process.exitCode = (await cargo({ PRISM_VERIFY: verify, PRISM_MESSAGES: messages })) ?? 1;
} finally {
  for (const child of children) {
    child.removeAllListeners("exit");
    child.kill();
  }
}
