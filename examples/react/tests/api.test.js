// The types that every call is made of are those of the server itself: a field that changes there fails here.

import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { startServer } from "../../../tests/browser/harness.js";

test("the API of the server is the one that this app was written for", async () => {
  const server = await startServer();
  try {
    const script = fileURLToPath(new URL("../scripts/check-api.js", import.meta.url));
    execFileSync(process.execPath, [script], { env: { ...process.env, COUNTERSIGN_URL: server.url }, stdio: "pipe" });
  } finally {
    await server.stop();
  }
});
