interface ImportMetaEnv {
  /** The origin of the server. Empty: the one that serves the app. */
  readonly VITE_API_URL?: string;
}
