import { Link, useNavigate } from "react-router";

import { type Registration, register } from "../api";
import { Field } from "../parts/Field";
import { Form } from "../parts/Form";
import { Page } from "../parts/Page";

const FIELDS = ["email", "password", "phone"] as const satisfies readonly (keyof Registration)[];

export function Register() {
  const navigate = useNavigate();

  return (
    <Page title="Create an account">
      <Form
        fields={FIELDS}
        action={async (values) => {
          const { message } = await register(values);
          await navigate("/login", { state: { notice: `${message}. You can log in now.` } });
        }}
        label="Create account"
        busyLabel="Creating the account…"
        culprit="password"
      >
        <Field name="email" label="E-mail" type="email" autoComplete="email" />
        <Field name="password" label="Password" type="password" autoComplete="new-password" hint="Long is better than complicated." />
        <Field
          name="phone"
          label="Phone number"
          type="tel"
          autoComplete="tel"
          hint="With the country code: +49 1512 3456789. Each login sends a code there."
        />
      </Form>
      <p>
        Registered already? <Link to="/login">Log in</Link>
      </p>
    </Page>
  );
}
