// Starts the server and lets Twilio's own SDKs walk through it, unmodified but for their base URL: three majors for Node, one for
// Python. Then the newest once more through Prism, a proxy that holds each answer against Twilio's own definition.
//   node run.js PYTHON     a Python that has what requirements.txt lists

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
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
const DEFINITION = path.join(ROOT, "tests/fixtures/twilio/twilio_verify_v2.prism.json");
const PYTHON = process.argv[2];

const directory = mkdtempSync(path.join(tmpdir(), "countersign-twilio-"));
const config = path.join(directory, "countersign.toml");
writeFileSync(config, '[server]\nport = 0\n[admin]\nport = 0\n[log]\nformat = "json"\n[console]\nprint = false\n[service.default.limits]\nip_sends = "10000/1h"\n');
const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("COUNTERSIGN_") && !name.startsWith("TWILIO_")));
env.COUNTERSIGN_DATA_DIR = path.join(directory, "data");
const options = { cwd: directory, env };
const children = [];

const create = () => JSON.parse(execFileSync(BINARY, ["--config", config, "client", "create", "--twilio", "--json"], { ...options, timeout: 60_000 }));

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

/** Prism in front of a server: an answer that breaks Twilio's definition becomes a 500. Requests are wrong on purpose here and there. */
async function prism(upstream) {
  const port = await freePort();
  const args = [PRISM, "proxy", "-h", "127.0.0.1", "-p", String(port), "--errors", "--validate-request=false", DEFINITION, upstream];
  const proxy = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  await listening(proxy, proxy.stdout, /(Prism is listening)/, "Prism");
  return `http://127.0.0.1:${port}`;
}

/** Prism must refuse what is wrong, or its approval is worth nothing. */
async function provePrismChecks() {
  const path = `/v2/Services/VA${"0".repeat(32)}`;
  let answer;
  const server = http.createServer((_, response) => response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(answer)));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const proxy = await prism(`http://127.0.0.1:${server.address().port}`);
  const status = async (body) => {
    answer = body;
    return (await fetch(proxy + path, { headers: { authorization: "Basic QUM6eA==" } })).status;
  };
  assert.equal(await status({ sid: `VA${"0".repeat(32)}`, code_length: 6 }), 200);
  assert.equal(await status({ sid: "VA1" }), 500, "a SID that is none");
  assert.equal(await status({ code_length: "six" }), 500, "a number that is text");
  server.close();
}

function run(command, args, environment) {
  const child = spawn(command, args, { cwd: HERE, stdio: "inherit", env: { ...env, ...environment } });
  return new Promise((resolve, reject) => child.once("error", reject).once("exit", (status) => (status === 0 ? resolve() : reject(new Error(`${args.join(" ")} ended with ${status}`)))));
}

try {
  const [own, other] = [create(), create()];
  assert.match(own.account_sid, /^AC[0-9a-f]{32}$/);
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
  await run(process.execPath, ["walk.mjs", "twilio"], walk(url, 0));
  await run(process.execPath, ["walk.mjs", "twilio-5"], walk(url, 1));
  await run(process.execPath, ["walk.mjs", "twilio-4"], walk(url, 2));
  if (PYTHON) await run(PYTHON, ["walk.py"], walk(url, 3));
  if (existsSync(PRISM)) {
    await provePrismChecks();
    await run(process.execPath, ["walk.mjs", "twilio"], walk(await prism(url), 4));
    console.log("Prism: no answer breaks Twilio's definition");
  }
} finally {
  for (const child of children) {
    child.removeAllListeners("exit");
    child.kill();
  }
  rmSync(directory, { recursive: true, force: true });
}
