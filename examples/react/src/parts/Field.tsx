import { type InputHTMLAttributes, type ReactNode, useId, useState } from "react";

import { useFieldError } from "./Form";

type Props = InputHTMLAttributes<HTMLInputElement> & { name: string; label: string; hint?: ReactNode };

/** A labelled input with its hint and with the server's complaint about it, which a screen reader reads together with it. */
export function Field({ label, hint, className = "", ...input }: Props) {
  const id = useId();
  const error = useFieldError(input.name);
  const isPassword = input.type === "password";
  const [isShown, setShown] = useState(false);
  const described = [error && `${id}-error`, hint && `${id}-hint`].filter(Boolean).join(" ");

  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <div className="field-row">
        <input
          {...input}
          id={id}
          className={`input ${className}`}
          type={isShown ? "text" : input.type}
          required
          aria-invalid={error ? true : undefined}
          aria-describedby={described || undefined}
          // Neither a password that is shown nor a code is for a spelling service.
          spellCheck={false}
          autoCapitalize="none"
        />
        {isPassword && (
          <button type="button" className="button" aria-pressed={isShown} aria-controls={id} onClick={() => setShown(!isShown)}>
            {isShown ? "Hide" : "Show"}
            <span className="visually-hidden"> password</span>
          </button>
        )}
      </div>
      {hint && (
        <p className="hint" id={`${id}-hint`}>
          {hint}
        </p>
      )}
      {error && (
        <p className="error" id={`${id}-error`}>
          {error}
        </p>
      )}
    </div>
  );
}
