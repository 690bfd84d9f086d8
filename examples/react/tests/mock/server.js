// The contract of the server's /auth routes, for as long as it takes to write the real ones: exact paths, bodies, statuses
// and headers, and no security whatever.

import { randomInt, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";

const OPENAPI = readFileSync(new URL("openapi.json", import.meta.url));
const LIMIT = 5;
const CHECKS = 5;

export async function startMock(origin) {
  const accounts = new Map();
  const tokens = new Map();
  const sessions = new Map();
  const inbox = [];

  const refuse = (status, error, more = {}, headers = {}) => ({ status, body: { error, ...more }, headers });
  const say = (body, headers = {}, status = 200) => ({ status, body, headers });
  const issue = (account) => {
    const now = Math.floor(Date.now() / 1000);
    const token = `mock.${randomUUID()}.token`;
    tokens.set(token, { sub: account.id, email: account.email, iat: now, exp: now + 3600, amr: ["pwd", "sms"], roles: [] });
    return token;
  };
  const send = (account) => {
    if (account.sent >= LIMIT) return refuse(429, "Too many codes were sent", {}, { "Retry-After": "598" });
    account.sent += 1;
    account.code = String(randomInt(1_000_000)).padStart(6, "0");
    account.checks = 0;
    inbox.unshift({ to: account.phone, code: account.code, delivery: "sent" });
    return say({ message: "OTP sent" });
  };
  const cookieOf = (request) => /(?:^|; )refresh=([^;]+)/.exec(request.headers.cookie ?? "")?.[1];
  const cookie = (value, age) => ({ "Set-Cookie": `refresh=${value}; Path=/auth; HttpOnly; SameSite=Strict; Max-Age=${age}` });

  const routes = {
    "POST /auth/register"({ email, password, phone }) {
      if (password.length < 8) return refuse(422, "Invalid field", { detail: "The password must have at least 8 characters.", field: "password" });
      if (!/^\+\d{8,15}$/.test(phone.replace(/[\s()-]/g, ""))) {
        return refuse(422, "Invalid field", { detail: "The phone number must have a country code.", field: "phone" });
      }
      accounts.set(email, { id: randomUUID(), email, password, phone: phone.replace(/[\s()-]/g, ""), sent: 0 });
      return say({ message: "Registered successfully" }, {}, 201);
    },
    "POST /auth/login"({ email, password }) {
      const account = accounts.get(email);
      return account?.password === password ? send(account) : refuse(401, "Invalid credentials");
    },
    "POST /auth/resend-otp": ({ email }) => send(accounts.get(email)),
    "POST /auth/verify-otp"({ email, code }) {
      const account = accounts.get(email);
      account.checks += 1;
      if (account.checks > CHECKS || account.code !== code) return refuse(401, "Invalid or expired OTP");
      account.code = undefined;
      const session = randomUUID();
      sessions.set(session, account);
      return say({ token: issue(account) }, cookie(session, 86_400));
    },
    "POST /auth/refresh"(_, request) {
      const account = sessions.get(cookieOf(request));
      return account ? say({ token: issue(account) }) : refuse(401, "Log in again");
    },
    "POST /auth/logout"(_, request) {
      sessions.delete(cookieOf(request));
      return say({ message: "Logged out" }, cookie("", 0));
    },
    "GET /protected"(_, request) {
      const user = tokens.get((request.headers.authorization ?? "").replace(/^Bearer /, ""));
      return user ? say({ message: "Welcome!", user }) : refuse(401, "Log in first");
    },
    "GET /dev/inbox.json": (_, request) => say(inbox.filter(({ to }) => to === new URL(request.url, "http://mock").searchParams.get("to"))),
  };

  const server = createServer(async (request, response) => {
    const cors = { "Access-Control-Allow-Origin": origin, "Access-Control-Allow-Credentials": "true", "Access-Control-Expose-Headers": "Retry-After" };
    if (request.method === "OPTIONS") {
      const allowed = { "Access-Control-Allow-Methods": "GET, POST", "Access-Control-Allow-Headers": "authorization, content-type" };
      return response.writeHead(204, { ...cors, ...allowed }).end();
    }
    if (request.url === "/openapi.json") return response.writeHead(200, { "Content-Type": "application/json" }).end(OPENAPI);
    const chunks = await request.toArray();
    const route = routes[`${request.method} ${request.url.split("?")[0]}`];
    const text = Buffer.concat(chunks).toString();
    const { status, body, headers } = route ? route(text ? JSON.parse(text) : {}, request) : refuse(404, "Not found");
    response.writeHead(status, { ...cors, "Content-Type": "application/json", ...headers }).end(JSON.stringify(body));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${server.address().port}`;
  return {
    url,
    async code(to) {
      const [message] = await (await fetch(`${url}/dev/inbox.json?to=${encodeURIComponent(to)}`)).json();
      return message.code;
    },
    stop: () => new Promise((resolve) => server.close(resolve).closeAllConnections()),
  };
}
