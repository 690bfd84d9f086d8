import { type FormEvent, type ReactNode, createContext, useContext, useEffect, useRef } from "react";

import type { Failure } from "../api";
import { Outcome } from "./Outcome";
import { spell, useCall } from "./useCall";

const FieldFailure = createContext<Failure | undefined>(undefined);

/** What the server says about this field. */
export function useFieldError(name: string): string | undefined {
  const failure = useContext(FieldFailure);
  return failure?.field === name ? failure.message : undefined;
}

type Props<Name extends string> = {
  fields: readonly Name[];
  action: (values: Record<Name, string>) => Promise<void>;
  /** On the button, and while the call runs. */
  label: string;
  busyLabel: string;
  /** The field to correct when the server refuses what was entered without naming one. */
  culprit: Name;
  children: ReactNode;
};

/** A form that is sent by a call and says what became of it. Every rule about what may be entered is the server's. */
export function Form<Name extends string>({ fields, action, label, busyLabel, culprit, children }: Props<Name>) {
  const form = useRef<HTMLFormElement>(null);
  const { run, isBusy, left, isOver, failure } = useCall(action);
  const named = fields.find((name) => name === failure?.field);

  useEffect(() => {
    const wrong = named ?? (failure?.status === 401 ? culprit : undefined);
    const field = wrong && form.current?.elements.namedItem(wrong);
    if (!(field instanceof HTMLInputElement)) return;
    field.focus();
    // A secret is typed anew, anything else is corrected.
    if (wrong === culprit) field.select();
  }, [failure, named, culprit]);

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const data = new FormData(event.currentTarget);
    void run(Object.fromEntries(fields.map((name) => [name, String(data.get(name) ?? "")])) as Record<Name, string>);
  }

  // Not `disabled`: that would take the focus away from whoever has just pressed it.
  return (
    <FieldFailure value={failure}>
      <form ref={form} className="form" onSubmit={submit} aria-busy={isBusy}>
        {children}
        <Outcome failure={named ? undefined : failure} isOver={isOver} />
        <button type="submit" className="button button-main" aria-disabled={isBusy || left > 0}>
          {left > 0 ? `Try again in ${spell(left)}` : isBusy ? busyLabel : label}
        </button>
      </form>
    </FieldFailure>
  );
}
