import { useState } from "react";
import { Link, Navigate } from "react-router";

import { verifyCode } from "../api";
import { Field } from "../parts/Field";
import { Form } from "../parts/Form";
import { Page } from "../parts/Page";
import { Resend } from "../parts/Resend";
import { begin, pendingEmail } from "../session";

const FIELDS = ["code"] as const;

export function Verify() {
  // Read once: it is forgotten the moment the code is accepted.
  const [email] = useState(pendingEmail);
  if (!email) return <Navigate to="/login" replace />;

  return (
    <Page title="Enter your code">
      <Form
        fields={FIELDS}
        action={async ({ code }) => {
          // As it is read out, written down and pasted: "123 456", "123-456".
          begin(await verifyCode({ email, code: code.replace(/[\s-]/g, "") }));
        }}
        label="Verify"
        busyLabel="Checking…"
        culprit="code"
      >
        <Field
          name="code"
          label="Code"
          className="input-code"
          inputMode="numeric"
          autoComplete="one-time-code"
          // Nothing else is to be done on this page, and its description says which page it is.
          autoFocus
          hint={
            <>
              We have sent it to the phone of <strong>{email}</strong>. It works for a few minutes.
            </>
          }
        />
      </Form>
      <Resend email={email} />
      <p>
        Not you? <Link to="/login">Log in again</Link>
      </p>
    </Page>
  );
}
