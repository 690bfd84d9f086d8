// better-auth as its documentation sets it up: the phone-number plugin on a SQLite file.
//
// What differs from a first try, all of it in the peer's favour: the rate limiter is off, the file is in WAL mode
// (as this driver builds SQLite, a commit then does not wait for the disk), expired rows are left alone,
// and sending is free. The plugin draws its own codes, so the answer to a start names the code in a header:
// the generator then needs no second request to learn it.

import { randomBytes } from "node:crypto";
import { createServer } from "node:http";
import { betterAuth } from "better-auth";
import { getMigrations } from "better-auth/db/migration";
import { toNodeHandler } from "better-auth/node";
import { phoneNumber } from "better-auth/plugins/phone-number";
import Database from "better-sqlite3";

const port = Number(process.env.PORT ?? 4600);
const database = new Database(process.env.DATABASE_FILE ?? "better-auth.sqlite");
database.pragma("journal_mode = WAL");

const options = {
  baseURL: "http://127.0.0.1",
  secret: randomBytes(32).toString("hex"),
  database,
  rateLimit: { enabled: false },
  verification: { disableCleanup: true },
  telemetry: { enabled: false },
  logger: { disabled: true },
  plugins: [
    phoneNumber({
      // As many as the server under test allows; the plugin's own default is three.
      allowedAttempts: 5,
      sendOTP: ({ code }, context) => context.setHeader("x-bench-code", code),
      signUpOnVerification: { getTempEmail: (number) => `${number.slice(1)}@phone.invalid` },
    }),
  ],
};

const { runMigrations } = await getMigrations(options);
await runMigrations();

createServer(toNodeHandler(betterAuth(options))).listen(port, "127.0.0.1", () => console.log("listening"));
