// Comfort for the login pages. Each of them works without this file; what only this file can do shows once it runs (class
// `scripted`). Nothing here decides anything: the server counts, waits and judges by itself.

const root = document.documentElement;
const announcer = document.getElementById("announcer");

root.classList.add("scripted");
document.querySelectorAll("[data-password]").forEach(letShow);
document.querySelectorAll("[data-strength-of]").forEach(tellStrength);
document.querySelectorAll("[data-countdown]").forEach(countDown);
document.querySelectorAll("input[autocomplete='one-time-code']").forEach(tidyCode);
document.querySelectorAll("form[data-web-otp]").forEach(readMessage);
document.querySelectorAll("[data-print]").forEach((button) => button.addEventListener("click", () => print()));
document.querySelectorAll("time[datetime]").forEach(tellTime);
document.addEventListener("submit", sendOnce);
// A page that comes back from the browser's memory may be sent again.
addEventListener("pageshow", (event) => event.persisted && document.querySelectorAll("form[data-sent]").forEach((form) => delete form.dataset.sent));

// Two clicks are one form: the second would be a second code, or a wrong attempt.
function sendOnce(event) {
  const form = event.target;
  if (form.dataset.sent) event.preventDefault();
  form.dataset.sent = "yes";
}

function letShow(scope) {
  const field = scope.querySelector("input");
  const button = scope.querySelector(".show-password");
  const show = (shown) => {
    field.type = shown ? "text" : "password";
    button.setAttribute("aria-pressed", String(shown));
  };
  button.addEventListener("click", () => show(field.type === "password"));
  // Hidden again before it is sent, so that the browser offers to keep a password and not a text.
  field.form.addEventListener("submit", () => show(false));
}

// A hint, and no more: what counts is the server's list of common passwords.
function tellStrength(hint) {
  const field = document.getElementById(hint.dataset.strengthOf);
  const text = hint.querySelector("[data-strength-text]");
  field.addEventListener("input", () => {
    const level = strength(field.value, Number(hint.dataset.least));
    hint.hidden = field.value === "";
    hint.dataset.level = level;
    if (text.textContent !== hint.dataset[level]) text.textContent = hint.dataset[level];
  });
}

function strength(password, least) {
  const characters = [...password.normalize("NFC").toLowerCase()];
  if (characters.length < least) return "weak";
  // What repeats, or goes on from its neighbour as in "abcd" or "4321", adds nothing that a guesser would not try.
  const steps = characters.map((character, at) => (at === 0 ? 99 : character.codePointAt(0) - characters[at - 1].codePointAt(0)));
  const news = characters.filter((character, at) => Math.abs(steps[at]) > 1 && characters.indexOf(character) === at).length;
  const worth = news + characters.length / 4;
  return worth < 8 ? "weak" : worth < 14 ? "fair" : "strong";
}

// The server says how many seconds; the time on the page's own clock may be wrong, but it runs at the right speed.
function countDown(element) {
  const end = performance.now() + Number(element.dataset.countdown) * 1000;
  const button = element.dataset.countdownEnd === "resend" ? element.closest("form").querySelector("[data-resend]") : null;
  if (button) button.disabled = true;
  const tick = () => {
    const seconds = Math.ceil((end - performance.now()) / 1000);
    if (seconds > 0) {
      // As the server writes it: whole minutes from two minutes on.
      const form = seconds < 120 ? announcer.dataset.seconds : announcer.dataset.minutes;
      const time = form.replace("{}", seconds < 120 ? seconds : Math.ceil(seconds / 60));
      const text = element.dataset.countdownText.replace("{}", time);
      if (element.textContent !== text) element.textContent = text;
      return;
    }
    clearInterval(timer);
    element.hidden = true;
    if (button) {
      button.disabled = false;
      button.removeAttribute("aria-describedby");
      announcer.textContent = button.textContent;
    }
  };
  // A screen reader that speaks every second is no help. The end is announced, once.
  element.setAttribute("aria-live", "off");
  const timer = setInterval(tick, 250);
  tick();
}

// Pasted with the space in the middle, or copied with the one at its end.
function tidyCode(field) {
  field.addEventListener("input", () => {
    const tidy = field.value.replace(/[\s\u200b-\u200f\u2066-\u2069-]/g, "");
    if (tidy !== field.value) field.value = tidy;
  });
}

// WebOTP: the phone offers the code of a message that ends with "@this.site #123456" (OTP-10).
async function readMessage(form) {
  if (!("OTPCredential" in window)) return;
  const abort = new AbortController();
  form.addEventListener("submit", () => abort.abort());
  try {
    const credential = await navigator.credentials.get({ otp: { transport: ["sms"] }, signal: abort.signal });
    const field = form.querySelector("input[name='code']");
    if (!credential?.code || field.value !== "") return;
    field.value = credential.code;
    form.requestSubmit();
  } catch {
    // Refused, or nothing came: somebody types the code.
  }
}

// Without a script times are in UTC.
function tellTime(element) {
  const at = new Date(element.dateTime);
  if (Number.isNaN(at.getTime())) return;
  element.textContent = new Intl.DateTimeFormat(root.lang, { dateStyle: "medium", timeStyle: "short" }).format(at);
}
