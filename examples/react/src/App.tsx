import { Link, Navigate, Route, Routes } from "react-router";

import { Login } from "./pages/Login";
import { Register } from "./pages/Register";
import { Verify } from "./pages/Verify";
import { Welcome } from "./pages/Welcome";
import { useToken } from "./session";

export function App() {
  const token = useToken();
  const home = <Navigate to="/welcome" replace />;
  return (
    <>
      <header className="header">
        <Link className="wordmark" to="/">
          <img src={`${import.meta.env.BASE_URL}mark.svg`} alt="" width="28" height="28" />
          Countersign example
        </Link>
      </header>
      <main>
        <Routes>
          <Route path="/register" element={token ? home : <Register />} />
          <Route path="/login" element={token ? home : <Login />} />
          <Route path="/verify" element={token ? home : <Verify />} />
          <Route path="/welcome" element={<Welcome token={token} />} />
          <Route path="*" element={<Navigate to={token ? "/welcome" : "/login"} replace />} />
        </Routes>
      </main>
    </>
  );
}
