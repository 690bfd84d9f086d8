import { useState } from "react";

import { Failure, resendCode } from "../api";
import { Outcome } from "./Outcome";
import { spell, useCall } from "./useCall";

/** Asks for another code. How often that may be done is the server's to say. */
export function Resend({ email }: { email: string }) {
  const [sent, setSent] = useState(0);
  const { run, isBusy, left, isOver, failure } = useCall(async () => {
    try {
      await resendCode(email);
      setSent((count) => count + 1);
    } catch (error) {
      setSent(0);
      const isMissing = error instanceof Failure && [404, 405].includes(error.status);
      throw isMissing ? new Failure("This server sends no second code. Log in again to get one.", error.status) : error;
    }
  });

  return (
    <div className="resend">
      <button type="button" className="button" aria-disabled={isBusy || left > 0} onClick={() => void run()}>
        {left > 0 ? `New code in ${spell(left)}` : isBusy ? "Sending…" : "Send a new code"}
      </button>
      <div role="status">
        {sent > 0 && (
          <p key={sent} className="notice">
            A new code is on its way. Use the newest one.
          </p>
        )}
      </div>
      <Outcome failure={failure} isOver={isOver} />
    </div>
  );
}
