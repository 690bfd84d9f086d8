// Starts the server and lets Twilio's own SDKs walk through it, unmodified but for their base URL: three majors for Node, one for
// Python. Then the newest once more through Prism, a proxy that holds each answer against Twilio's own definitions.
//   node run.js PYTHON     a Python that has what requirements.txt lists

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const HERE = path.dirname(fileURLToPath(import.meta.url));
const ROOT = path.resolve(HERE, "../..");
const BINARY = path.resolve(ROOT, process.env.COUNTERSIGN_BINARY ?? "target/debug/countersign");
const PRISM = path.join(ROOT, "tests/prism/node_modules/@stoplight/prism-cli/dist/index.js");
const VERIFY = path.join(ROOT, "tests/fixtures/twilio/twilio_verify_v2.prism.json");
const PYTHON = process.argv[2];

const directory = mkdtempSync(path.join(tmpdir(), "countersign-twilio-"));
const config = path.join(directory, "countersign.toml");
writeFileSync(config, '[server]\nport = 0\n[admin]\nport = 0\n[log]\nformat = "json"\n[console]\nprint = false\n[twilio_face]\nmessages = true\nprivate_webhooks = true\n[service.default.limits]\nip_sends = "10000/1h"\n');
const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("COUNTERSIGN_") && !name.startsWith("TWILIO_")));
env.COUNTERSIGN_DATA_DIR = path.join(directory, "data");
const options = { cwd: directory, env };
const children = [];

const create = (...scopes) => {
  const args = ["--config", config, "client", "create", "--twilio", "--json", ...scopes.flatMap((scope) => ["--scope", scope])];
  return JSON.parse(execFileSync(BINARY, args, { ...options, timeout: 60_000 }));
};

function listening(child, stream, pattern, name) {
  children.push(child);
  return new Promise((resolve, reject) => {
    let said = "";
    createInterface({ input: stream }).on("line", (line) => {
      said += `${line}\n`;
      const found = pattern.exec(line);
      if (found) resolve(found[1]);
    });
    child.once("error", reject);
    child.once("exit", (status) => reject(new Error(`${name} ended with ${status}:\n${said}`)));
  });
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/** Of texts. It calls the URIs of a list absolute, which they are neither in its own examples nor to the SDKs: they are paths. */
function messagesDefinition() {
  const definition = JSON.parse(readFileSync(path.join(ROOT, "tests/fixtures/twilio/twilio_messages_v2010.prism.json")));
  const list = definition.paths["/2010-04-01/Accounts/{AccountSid}/Messages.json"].get.responses["200"].content["application/json"].schema;
  for (const [name, schema] of Object.entries(list.properties)) if (name.endsWith("uri")) delete schema.format;
  const file = path.join(directory, "messages.json");
  writeFileSync(file, JSON.stringify(definition));
  return file;
}

/** Prism in front of a server: an answer that breaks Twilio's definition becomes a 500. Requests are wrong on purpose here and there. */
async function prism(definition, upstream) {
  const port = await freePort();
  const args = [PRISM, "proxy", "-h", "127.0.0.1", "-p", String(port), "--errors", "--validate-request=false", definition, upstream];
  const proxy = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  await listening(proxy, proxy.stdout, /(Prism is listening)/, "Prism");
  return `http://127.0.0.1:${port}`;
}

/** Prism must refuse what is wrong, or its approval is worth nothing. */
async function provePrismChecks(definition, path, right, ...wrong) {
  let answer;
  const server = http.createServer((_, response) => response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(answer)));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const proxy = await prism(definition, `http://127.0.0.1:${server.address().port}`);
  const status = async (body) => {
    answer = body;
    return (await fetch(proxy + path, { headers: { authorization: "Basic QUM6eA==" } })).status;
  };
  assert.equal(await status(right), 200);
  for (const body of wrong) assert.equal(await status(body), 500, JSON.stringify(body));
  server.close();
}

function run(command, args, environment) {
  const child = spawn(command, args, { cwd: HERE, stdio: "inherit", env: { ...env, ...environment } });
  return new Promise((resolve, reject) => child.once("error", reject).once("exit", (status) => (status === 0 ? resolve() : reject(new Error(`${args.join(" ")} ended with ${status}`)))));
}

try {
  const [own, other] = [create(), create()];
  assert.match(own.account_sid, /^AC[0-9a-f]{32}$/);
  // Texts of one's own need a scope that no key has by itself.
  const texts = create("verifications:write", "verifications:read", "services:write", "messages:send");
  const server = spawn(BINARY, ["--config", config, "serve"], { ...options, stdio: ["ignore", "ignore", "pipe"] });
  const url = await listening(server, server.stderr, /"url":"([^"]+)"/, "the server");
  const walk = (SERVER, index) => ({
    SERVER,
    INBOX: url,
    ACCOUNT_SID: own.account_sid,
    AUTH_TOKEN: own.auth_token,
    API_KEY_SID: own.api_key_sid,
    API_KEY_SECRET: own.api_key_secret,
    OTHER_ACCOUNT_SID: other.account_sid,
    OTHER_AUTH_TOKEN: other.auth_token,
    // Nobody's numbers twice: their limits are real.
    FIRST_NUMBER: String(20_000_000 + index * 1_000),
  });
  const sender = (SERVER, index) => ({ ...walk(SERVER, index), ACCOUNT_SID: texts.account_sid, AUTH_TOKEN: texts.auth_token });
  for (const [index, name] of ["twilio", "twilio-5", "twilio-4"].entries()) {
    await run(process.execPath, ["factors.mjs", name], sender(url, 5 + index));
  }
  if (PYTHON) await run(PYTHON, ["factors.py"], sender(url, 8));
  await run(process.execPath, ["walk.mjs", "twilio"], walk(url, 0));
  await run(process.execPath, ["walk.mjs", "twilio-5"], walk(url, 1));
  await run(process.execPath, ["walk.mjs", "twilio-4"], walk(url, 2));
  if (PYTHON) await run(PYTHON, ["walk.py"], walk(url, 3));
  if (existsSync(PRISM)) {
    const zeros = "0".repeat(32);
    const service = { sid: `VA${zeros}`, code_length: 6 };
    await provePrismChecks(VERIFY, `/v2/Services/VA${zeros}`, service, { sid: "VA1" }, { code_length: "six" });
    const message = { sid: `SM${zeros}`, status: "sent" };
    const messagePath = `/2010-04-01/Accounts/AC${zeros}/Messages/SM${zeros}.json`;
    const definition = messagesDefinition();
    await provePrismChecks(definition, messagePath, message, { sid: "SM1" }, { status: "away" });
    const [verify, messages] = await Promise.all([prism(VERIFY, url), prism(definition, url)]);
    await run(process.execPath, ["walk.mjs", "twilio"], walk(verify, 4));
    await run(process.execPath, ["factors.mjs", "twilio"], { ...sender(verify, 9), API: messages });
    console.log("Prism: no answer breaks Twilio's definitions");
  }
} finally {
  for (const child of children) {
    child.removeAllListeners("exit");
    child.kill();
  }
  rmSync(directory, { recursive: true, force: true });
}
