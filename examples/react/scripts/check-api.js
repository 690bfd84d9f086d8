// Holds src/api-schema.d.ts, and with it every call of src/api.ts, to the /openapi.json of a running server.
//
//   npm run check-api                     fails, and shows the lines, when the two differ
//   npm run check-api -- --write          takes the server's; `npm run build` then names each call that no longer fits
//
// COUNTERSIGN_URL is the server (http://127.0.0.1:8080), or the path of a file with its openapi.json.

import { readFile, writeFile } from "node:fs/promises";

import openapiTypes, { astToString } from "openapi-typescript";

const SCHEMA = new URL("../src/api-schema.d.ts", import.meta.url);
const PATHS = ["/auth/register", "/auth/login", "/auth/verify-otp", "/auth/resend-otp", "/auth/refresh", "/auth/logout", "/protected"];
const METHODS = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];
const HEADER = "// Made by `npm run check-api -- --write` from the server's /openapi.json. Not edited by hand.\n\n";

const source = process.env.COUNTERSIGN_URL ?? "http://127.0.0.1:8080";
const types = HEADER + astToString(await openapiTypes(part(await load(source)), { defaultNonNullable: false }));

if (process.argv.includes("--write")) {
  await writeFile(SCHEMA, types);
  console.log(`src/api-schema.d.ts is that of ${source}`);
} else {
  const differences = compare((await readFile(SCHEMA, "utf8")).split("\n"), types.split("\n"));
  if (differences.length > 0) {
    console.error(`The API of ${source} (+) is not the one that this app was written for (-):\n\n${differences.join("\n")}`);
    process.exitCode = 1;
  } else {
    console.log(`src/api-schema.d.ts and ${source} agree`);
  }
}

async function load(from) {
  if (!/^https?:/.test(from)) return JSON.parse(await readFile(from, "utf8"));
  const response = await fetch(new URL("/openapi.json", from), { signal: AbortSignal.timeout(10_000) });
  if (!response.ok) throw new Error(`${response.url}: ${response.status}`);
  return response.json();
}

/** The operations that this app calls and the schemas that they use, without prose: a better sentence breaks no client. */
function part(api) {
  const paths = {};
  for (const path of PATHS) {
    if (!api.paths[path]) throw new Error(`the server has no ${path}`);
    const operations = Object.entries(api.paths[path]).filter(([name]) => METHODS.includes(name));
    paths[path] = Object.fromEntries(operations.map(([method, { operationId: _, ...operation }]) => [method, operation]));
  }
  const components = {};
  const copied = new Set();
  const follow = (value) => {
    if (value === null || typeof value !== "object") return;
    if (typeof value.$ref === "string" && !copied.has(value.$ref)) {
      copied.add(value.$ref);
      const [, , kind, name] = value.$ref.split("/");
      (components[kind] ??= {})[name] = api.components[kind][name];
      follow(api.components[kind][name]);
    }
    Object.values(value).forEach(follow);
  };
  follow(paths);
  const sorted = (object) => Object.fromEntries(Object.entries(object).sort(([left], [right]) => (left < right ? -1 : 1)));
  const kinds = Object.fromEntries(Object.entries(components).map(([kind, named]) => [kind, sorted(named)]));
  return withoutProse({ openapi: api.openapi, info: { title: "Countersign", version: "" }, paths, components: kinds });
}

/** A field may be called `description` as well: only where it is a string is it prose. */
function withoutProse(value) {
  if (Array.isArray(value)) return value.map(withoutProse);
  if (value === null || typeof value !== "object") return value;
  const isProse = ([key, inner]) => ["description", "summary"].includes(key) && typeof inner === "string";
  const isSample = ([key, inner]) => ["example", "examples"].includes(key) && !(inner && typeof inner === "object" && "type" in inner);
  const kept = Object.entries(value).filter((entry) => !isProse(entry) && !isSample(entry));
  const plain = Object.fromEntries(kept.map(([key, inner]) => [key, withoutProse(inner)]));
  // An answer of OpenAPI must have a description.
  if ("responses" in plain) for (const answer of Object.values(plain.responses)) answer.description ??= "";
  return plain;
}

/** The lines that only one side has, in order: the shortest way from one to the other. */
function compare(before, after) {
  const common = Array.from({ length: before.length + 1 }, () => new Uint32Array(after.length + 1));
  for (let i = before.length - 1; i >= 0; i--) {
    for (let j = after.length - 1; j >= 0; j--) {
      common[i][j] = before[i] === after[j] ? common[i + 1][j + 1] + 1 : Math.max(common[i + 1][j], common[i][j + 1]);
    }
  }
  const lines = [];
  for (let i = 0, j = 0; i < before.length || j < after.length; ) {
    if (i < before.length && j < after.length && before[i] === after[j]) [i, j] = [i + 1, j + 1];
    else if (j === after.length || (i < before.length && common[i + 1][j] >= common[i][j + 1])) lines.push(`- ${before[i++]}`);
    else lines.push(`+ ${after[j++]}`);
  }
  return lines;
}
