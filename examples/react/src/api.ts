// Every call to the server. The types come from the server's own description (src/api-schema.d.ts, kept true by
// `npm run check-api`): a field that changes there is a type error here.

import type { paths } from "./api-schema";

type Json<T> = T extends { content: { "application/json": infer Body } } ? Body : never;
type Operation<Path extends keyof paths, Method extends "get" | "post"> = NonNullable<paths[Path][Method]>;
type Input<T> = T extends { requestBody: infer Body } ? Json<Body> : undefined;
type Output<T> = T extends { responses: infer Answers } ? { [S in keyof Answers]: S extends 200 | 201 ? Json<Answers[S]> : never }[keyof Answers] : never;

type Post<Path extends keyof paths> = Operation<Path, "post">;

export type Registration = Input<Post<"/auth/register">>;
export type Credentials = Input<Post<"/auth/login">>;
export type Proof = Input<Post<"/auth/verify-otp">>;
export type Welcome = Output<Operation<"/protected", "get">>;
/** What the server says when it refuses. */
type Refusal = Json<Post<"/auth/register">["responses"][422]>;

const BASE = import.meta.env.VITE_API_URL ?? "http://127.0.0.1:8080";
const PATIENCE = 20_000;

/** A call that did not succeed, in words for the person in front of the screen. */
export class Failure extends Error {
  override name = "Failure";
  constructor(
    message: string,
    /** The HTTP status; 0 where there was no answer. */
    readonly status: number,
    /** The field of the form that is the cause. */
    readonly field?: string,
    /** Seconds after which the same call can succeed. */
    readonly retryAfter?: number,
  ) {
    super(message);
  }
}

export const register = (registration: Registration) => post("/auth/register", registration);
export const logIn = (credentials: Credentials) => post("/auth/login", credentials);
export const verifyCode = async (proof: Proof) => tokenOf(await post("/auth/verify-otp", proof));
export const resendCode = (email: string) => post("/auth/resend-otp", { email });
export const refresh = async () => tokenOf(await post("/auth/refresh", {}));
export const logOut = (token: string) => post("/auth/logout", undefined, token);
export const welcome = (token: string) => call<Welcome>("/protected", "GET", undefined, token);

/** An account may have a factor that these four pages do not know; the server's own pages do. */
function tokenOf(answer: { token?: string | null }): string {
  if (!answer.token) throw new Failure("Your account asks for one more step, which this app does not offer.", 0);
  return answer.token;
}

function post<Path extends keyof paths>(path: Path, body: Input<Post<Path>>, token?: string): Promise<Output<Post<Path>>> {
  return call(path, "POST", body, token);
}

async function call<Answer>(path: string, method: "GET" | "POST", body: unknown, token?: string): Promise<Answer> {
  const headers = new Headers({ Accept: "application/json" });
  if (body !== undefined) headers.set("Content-Type", "application/json");
  if (token !== undefined) headers.set("Authorization", `Bearer ${token}`);
  let response: Response;
  let text: string;
  try {
    response = await fetch(BASE + path, {
      method,
      headers,
      // The cookies that bind the code to this browser and renew the session: they belong to the server's origin, not to ours.
      credentials: "include",
      signal: AbortSignal.timeout(PATIENCE),
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    text = await response.text();
  } catch {
    throw new Failure("The server cannot be reached. Check your connection and try again.", 0);
  }
  const answer = parse(text);
  if (!response.ok) throw failure(response, answer);
  return answer as Answer;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function failure(response: Response, answer: unknown): Failure {
  const { error, detail, field } = (answer ?? {}) as Partial<Refusal>;
  const seconds = Number(response.headers.get("Retry-After") ?? Number.NaN);
  const retryAfter = Number.isFinite(seconds) && seconds > 0 ? Math.ceil(seconds) : undefined;
  // A rule that was broken is named in `detail`; elsewhere `error` is the sentence to show.
  const message = response.status === 422 ? (detail ?? error) : error;
  return new Failure(message ?? `The server answered with an error (${response.status}).`, response.status, field ?? undefined, retryAfter);
}
