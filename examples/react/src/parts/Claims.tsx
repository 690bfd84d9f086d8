type Props = { user: object };

const TIMES = ["iat", "nbf", "exp", "auth_time"];

/** What the token says about its owner, under the names that a back end reads. */
export function Claims({ user }: Props) {
  return (
    <>
      <h2>What your token says</h2>
      <dl className="claims">
        {Object.entries(user).map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{text(name, value)}</dd>
          </div>
        ))}
      </dl>
    </>
  );
}

function text(name: string, value: unknown): string {
  if (TIMES.includes(name) && typeof value === "number") return new Date(value * 1000).toLocaleString();
  if (Array.isArray(value)) return value.length > 0 ? value.map(String).join(", ") : "none";
  if (value === null || value === "") return "none";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
