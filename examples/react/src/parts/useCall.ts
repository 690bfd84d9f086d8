import { useEffect, useRef, useState } from "react";

import { Failure } from "../api";

/** A call to the server that a button begins: one at a time, with its failure, and with the wait that a limit asks for. */
export function useCall<Arguments extends unknown[]>(call: (...values: Arguments) => Promise<void>) {
  const [isBusy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Failure>();
  const [left, setLeft] = useState(0);
  const isRunning = useRef(false);

  // Counted against a clock: a tab in the background ticks seldom.
  const [until, setUntil] = useState(0);
  useEffect(() => {
    if (until === 0) return undefined;
    const tick = () => {
      const seconds = Math.max(0, Math.ceil((until - Date.now()) / 1000));
      setLeft(seconds);
      if (seconds === 0) setUntil(0);
    };
    const timer = setInterval(tick, 250);
    return () => clearInterval(timer);
  }, [until]);

  async function run(...values: Arguments) {
    // The state is a render late for a second click.
    if (isRunning.current || left > 0) return;
    isRunning.current = true;
    setBusy(true);
    try {
      await call(...values);
      setFailure(undefined);
    } catch (error) {
      const known = error instanceof Failure ? error : new Failure("Something went wrong in this page. Reload it and try again.", -1);
      if (known !== error) console.error(error);
      setFailure(known);
      if (known.retryAfter !== undefined) {
        setLeft(known.retryAfter);
        setUntil(Date.now() + known.retryAfter * 1000);
      }
    } finally {
      isRunning.current = false;
      setBusy(false);
    }
  }

  /** A limit has refused, and its wait is over. */
  const isOver = failure?.retryAfter !== undefined && left === 0;
  return { run, isBusy, left, isOver, failure };
}

/** "45 s", "2:05 min", "3 h". */
export function spell(seconds: number): string {
  if (seconds < 100) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")} min`;
  return `${Math.ceil(seconds / 3600)} h`;
}
