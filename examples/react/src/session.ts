// Where the app remembers who is logged in: the access token in localStorage, so that all tabs share it and a reload keeps
// it; the e-mail address between the two steps of a login in sessionStorage, which is this tab's alone.
//
// Whatever script runs in this origin can read localStorage. The server's own pages do not have that problem (their cookie
// is HttpOnly); an app that does should keep a strict content security policy.

import { useSyncExternalStore } from "react";

import { Failure, refresh } from "./api";

const TOKEN = "token";
const EMAIL = "email";
const PROPAGATION = 500;

const listeners = new Set<() => void>();
let ended: string | undefined;

export const currentToken = () => localStorage.getItem(TOKEN);

export function begin(token: string) {
  ended = undefined;
  localStorage.setItem(TOKEN, token);
  sessionStorage.removeItem(EMAIL);
  tell();
}

/** Ends the session on this side; `why` is said on the login page. */
export function end(why: string) {
  ended = why;
  localStorage.removeItem(TOKEN);
  tell();
}

/** Why there is no session any more, where there was one. */
export const whyEnded = () => ended;

/** The token, as it changes: in this tab or in another. */
export const useToken = () => useSyncExternalStore(subscribe, currentToken);

export const pendingEmail = () => sessionStorage.getItem(EMAIL);
export const setPendingEmail = (email: string) => sessionStorage.setItem(EMAIL, email);

/**
 * Makes a call that needs a token. One that is no longer accepted is renewed, once; where that is refused too, the session
 * is over and the answer `null`.
 */
export async function authorized<Answer>(call: (token: string) => Promise<Answer>): Promise<Answer | null> {
  const token = currentToken();
  if (!token) return null;
  try {
    return await call(token);
  } catch (error) {
    if (!isRefused(error)) throw error;
  }
  try {
    const next = await renewed(token);
    if (next) return await call(next);
  } catch (error) {
    // Only the server's word ends a session. Silence, or a limit, is no such word.
    if (!isRefused(error)) throw error;
  }
  if (currentToken()) end("Your session has ended. Please log in again.");
  return null;
}

/** No, or not any more; a server without that route says the same. */
const isRefused = (error: unknown) => error instanceof Failure && [400, 401, 403, 404, 405].includes(error.status);

/**
 * A new token in place of one that is no longer accepted, or `null` where the server gives none.
 *
 * One tab at a time: a refresh token works once, and two tabs that spend the same one look like a thief to the server.
 */
async function renewed(spent: string): Promise<string | null> {
  const renew = async () => {
    const now = currentToken();
    // Another tab was faster, or has logged out.
    if (now !== spent) return now;
    const token = await refresh();
    begin(token);
    // Another tab's process sees what was written to localStorage a moment later: the lock is kept for as long. Nobody waits
    // for it here, since the pages have heard of the new token already.
    await new Promise((resolve) => setTimeout(resolve, PROPAGATION));
    return token;
  };
  // There are no locks on a page without TLS.
  return navigator.locks ? await navigator.locks.request("countersign-refresh", renew) : await renew();
}

function subscribe(listener: () => void) {
  const fromElsewhere = (event: StorageEvent) => {
    if (event.key !== TOKEN && event.key !== null) return;
    ended = event.newValue === null ? "You are logged out." : undefined;
    listener();
  };
  listeners.add(listener);
  window.addEventListener("storage", fromElsewhere);
  return () => {
    listeners.delete(listener);
    window.removeEventListener("storage", fromElsewhere);
  };
}

function tell() {
  listeners.forEach((listener) => listener());
}
