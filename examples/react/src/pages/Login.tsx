import { useState } from "react";
import { Link, useLocation, useNavigate } from "react-router";

import { type Credentials, logIn } from "../api";
import { Field } from "../parts/Field";
import { Form } from "../parts/Form";
import { Page } from "../parts/Page";
import { setPendingEmail } from "../session";

const FIELDS = ["email", "password"] as const satisfies readonly (keyof Credentials)[];

export function Login() {
  const navigate = useNavigate();
  const state = useLocation().state as { notice?: string } | null;
  const [notice, setNotice] = useState(state?.notice);

  return (
    <Page title="Log in">
      <div role="status">{notice && <p className="notice">{notice}</p>}</div>
      <Form
        fields={FIELDS}
        action={async (values) => {
          setNotice(undefined);
          await logIn(values);
          setPendingEmail(values.email);
          await navigate("/verify");
        }}
        label="Log in"
        busyLabel="Checking…"
        culprit="password"
      >
        <Field name="email" label="E-mail" type="email" autoComplete="username" />
        <Field name="password" label="Password" type="password" autoComplete="current-password" />
      </Form>
      <p>
        New here? <Link to="/register">Create an account</Link>
      </p>
    </Page>
  );
}
