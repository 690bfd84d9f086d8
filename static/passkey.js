// Passkeys: asks the browser for one, and sends what it answers with the page's own form. Every page works without this file;
// it then offers what else there is: the buttons are hidden until it runs in a browser that knows passkeys.
//
// What a page provides:
//
//   <form method="post" action="…">
//     <input type="hidden" name="passkey">
//     <button type="button" hidden data-passkey-enrol data-options="{…}">Add a passkey</button>
//     <p role="alert" hidden data-passkey-problem data-cancelled="…" data-known="…" data-failed="…"></p>
//   </form>
//
// - data-passkey-enrol makes a passkey, data-passkey-sign-in uses one. The button lies in the form that is sent.
// - data-options holds the options as JSON (PublicKeyCredentialCreationOptionsJSON, or …RequestOptionsJSON). Or
//   data-options-url names where they come from: asked by POST with the form's fields, so with its token against forgery.
// - The answer (RegistrationResponseJSON or AuthenticationResponseJSON) goes into the field that data-passkey-field names, or
//   "passkey", as JSON. The form is then sent, without a button and with its other fields as they are, required or not.
// - data-passkey-problem is shown when nothing came of it, with the page's own words, which are in its language: data-cancelled
//   (also after a time-out), data-known (this device has one already), data-failed (anything else).

const KINDS = { passkeyEnrol: create, passkeySignIn: get };

if (window.PublicKeyCredential && navigator.credentials) {
  for (const button of document.querySelectorAll("[data-passkey-enrol], [data-passkey-sign-in]")) {
    button.hidden = false;
    button.addEventListener("click", () => run(button));
  }
}

async function run(button) {
  const form = button.form;
  const problem = form.querySelector("[data-passkey-problem]");
  if (problem) problem.hidden = true;
  // A second click would end the first question.
  button.disabled = true;
  try {
    const kind = Object.keys(KINDS).find((name) => name in button.dataset);
    const credential = await KINDS[kind](await optionsOf(button));
    form.elements[button.dataset.passkeyField ?? "passkey"].value = JSON.stringify(credential);
    form.submit();
  } catch (error) {
    show(problem, error);
    button.disabled = false;
    button.focus();
  }
}

async function optionsOf(button) {
  if (button.dataset.options) return JSON.parse(button.dataset.options);
  const answer = await fetch(button.dataset.optionsUrl, {
    method: "POST",
    headers: { Accept: "application/json" },
    body: new URLSearchParams(new FormData(button.form)),
  });
  if (!answer.ok) throw new Error(`options: ${answer.status}`);
  return answer.json();
}

async function create(options) {
  const publicKey = {
    ...options,
    challenge: bytes(options.challenge),
    user: { ...options.user, id: bytes(options.user.id) },
    excludeCredentials: options.excludeCredentials.map(descriptor),
  };
  const credential = await navigator.credentials.create({ publicKey });
  return json(credential, {
    attestationObject: text(credential.response.attestationObject),
    transports: credential.response.getTransports?.() ?? [],
  });
}

async function get(options) {
  const publicKey = {
    ...options,
    challenge: bytes(options.challenge),
    allowCredentials: options.allowCredentials.map(descriptor),
  };
  const credential = await navigator.credentials.get({ publicKey });
  const { authenticatorData, signature, userHandle } = credential.response;
  return json(credential, {
    authenticatorData: text(authenticatorData),
    signature: text(signature),
    userHandle: userHandle ? text(userHandle) : null,
  });
}

// As credential.toJSON() writes it, which password managers do not always have.
function json(credential, response) {
  return {
    id: credential.id,
    rawId: text(credential.rawId),
    type: credential.type,
    authenticatorAttachment: credential.authenticatorAttachment,
    clientExtensionResults: credential.getClientExtensionResults(),
    response: { clientDataJSON: text(credential.response.clientDataJSON), ...response },
  };
}

function descriptor(credential) {
  return { ...credential, id: bytes(credential.id) };
}

function bytes(base64url) {
  const base64 = base64url.replaceAll("-", "+").replaceAll("_", "/");
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

function text(buffer) {
  const characters = Array.from(new Uint8Array(buffer), (byte) => String.fromCharCode(byte));
  return btoa(characters.join("")).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

function show(problem, error) {
  if (!problem) return;
  const words = { NotAllowedError: problem.dataset.cancelled, AbortError: problem.dataset.cancelled, InvalidStateError: problem.dataset.known };
  problem.textContent = words[error.name] ?? problem.dataset.failed;
  problem.hidden = false;
}
