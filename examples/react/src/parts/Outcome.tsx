import type { Failure } from "../api";

type Props = { failure: Failure | undefined; isOver: boolean };

/** What became of a call, announced once: the seconds that tick away stand on the button, which nobody has to listen to. */
export function Outcome({ failure, isOver }: Props) {
  return (
    <>
      <div role="alert">{failure && !isOver && <Sentence key={serial(failure)} text={failure.message} />}</div>
      <div role="status">{isOver && <p className="notice">You can try again now.</p>}</div>
    </>
  );
}

const Sentence = ({ text }: { text: string }) => <p className="notice notice-error">{text}</p>;

// The same words a second time are news too: another element is announced, an unchanged one is not.
const serials = new WeakMap<Failure, number>();
let next = 0;
function serial(failure: Failure): number {
  const known = serials.get(failure) ?? next++;
  serials.set(failure, known);
  return known;
}
