import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// One origin for `dev` and `preview`: it is the one that the server has to allow. And 127.0.0.1, not localhost: to a browser
// those are two sites, and the refresh cookie of a server on 127.0.0.1 would not be sent from a page on the other.
const server = { host: "127.0.0.1", port: 5173, strictPort: true };

export default defineConfig({
  plugins: [react()],
  server,
  preview: server,
});
