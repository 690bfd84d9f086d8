import { useEffect, useState } from "react";
import { Navigate } from "react-router";

import { type Welcome as Answer, Failure, logOut, welcome } from "../api";
import { Claims } from "../parts/Claims";
import { Outcome } from "../parts/Outcome";
import { Page } from "../parts/Page";
import { useCall } from "../parts/useCall";
import { authorized, end, whyEnded } from "../session";

export function Welcome({ token }: { token: string | null }) {
  // The one guard of the page: whoever ends the session, here or in another tab, need not navigate.
  if (!token) return <Navigate to="/login" replace state={{ notice: whyEnded() }} />;
  return <Protected token={token} />;
}

function Protected({ token }: { token: string }) {
  const [answer, setAnswer] = useState<Answer>();
  const [failure, setFailure] = useState<Failure>();
  const [tries, setTries] = useState(0);

  useEffect(() => {
    let isCurrent = true;
    authorized(welcome).then(
      (next) => {
        if (!isCurrent || !next) return;
        setAnswer(next);
        setFailure(undefined);
      },
      (error: unknown) => {
        if (isCurrent) setFailure(error instanceof Failure ? error : new Failure("Something went wrong in this page.", -1));
      },
    );
    return () => {
      isCurrent = false;
    };
    // With another token, perhaps of another person in another tab, all of this is another answer.
  }, [token, tries]);

  const leaving = useCall(async () => {
    try {
      await logOut(token);
    } catch (error) {
      // A session that the server does not know needs no end. One that it could not be told about does.
      if (!(error instanceof Failure) || ![401, 404, 405].includes(error.status)) throw error;
    }
    end("You are logged out.");
  });

  return (
    <Page title={answer?.message ?? "Welcome"}>
      {answer && <Claims user={answer.user} />}
      {!answer && !failure && <p role="status">Loading…</p>}
      <Outcome failure={failure} isOver={false} />
      {failure && (
        <button type="button" className="button" onClick={() => setTries(tries + 1)}>
          Try again
        </button>
      )}
      <Outcome failure={leaving.failure} isOver={leaving.isOver} />
      <button type="button" className="button" aria-disabled={leaving.isBusy || leaving.left > 0} onClick={() => void leaving.run()}>
        Log out
      </button>
    </Page>
  );
}
