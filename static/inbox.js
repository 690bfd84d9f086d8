// Puts new messages on top of the dev inbox as the server sends them, and keeps what became of each up to date. Without this
// file the page is the same list, as old as its last load. Message text only ever goes in as text, never as markup.

const MOST_MESSAGES = 500;
const ANNOUNCE_MILLISECONDS = 600;

const messages = document.getElementById("messages");
const connection = document.getElementById("connection");
const announcer = document.getElementById("announcer");
const pageTitle = document.title;
const readableTime = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

let unannounced = [];
let unseen = 0;

messages.querySelectorAll("time").forEach(localize);

// The server filters, so that the rule for what matches has one home. `after` is the mark of what the page shows, and closes
// the gap between its rendering and this connection. On a reconnection the browser sends Last-Event-ID, which is newer and
// counts instead.
const address = new URL("/dev/inbox/events", location.href);
if (messages.dataset.to) address.searchParams.set("to", messages.dataset.to);
address.searchParams.set("after", messages.dataset.mark);

const events = new EventSource(address);
events.addEventListener("open", () => showConnection("live", "Live"));
events.addEventListener("message", (event) => add(JSON.parse(event.data)));
events.addEventListener("delivery", (event) => update(JSON.parse(event.data)));
events.addEventListener("error", () => {
  // A closed source never tries again by itself.
  if (events.readyState === EventSource.CLOSED) showConnection("lost", "Not live");
  else showConnection("lost", "Reconnecting…");
});

document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  unseen = 0;
  document.title = pageTitle;
});

function add(message) {
  // A replay after a reconnection may bring what is here already.
  if (update(message)) return;
  const article = render(message);
  if (!article) return;
  document.getElementById("empty")?.remove();
  messages.prepend(article);
  while (messages.childElementCount > MOST_MESSAGES) messages.lastElementChild.remove();
  announce(article.querySelector("h2").textContent);
  if (document.hidden) document.title = `(${++unseen}) ${pageTitle}`;
}

// False when the page does not show that message (any more).
function update(message) {
  const article = document.getElementById(`message-${message.id}`);
  if (!article) return false;
  const fate = article.querySelector(".fate");
  const failsNow = message.delivery === "failed" && fate.dataset.delivery !== "failed";
  fill(article, message);
  if (failsNow) announcer.textContent = `Failed: ${article.querySelector("h2").textContent.trim()}`;
  return true;
}

function render(message) {
  const template = document.querySelector(`template[data-channel="${CSS.escape(message.channel)}"]`);
  if (!template) return null;
  const article = template.content.firstElementChild.cloneNode(true);
  const heading = article.querySelector("h2");
  article.id = `message-${message.id}`;
  article.dataset.id = message.id;
  heading.id = `${article.id}-heading`;
  article.setAttribute("aria-labelledby", heading.id);
  article.classList.add("message-new");
  if (message.code === null) article.querySelector(".code-panel").remove();
  showMail(article.querySelector(".mail"), message);
  fill(article, message);
  return article;
}

function showMail(mail, message) {
  if (!mail) return;
  const page = mail.querySelector("iframe");
  if (message.html) {
    page.title = `Mail to ${message.to} (${message.id})`;
    page.src = message.html;
  } else {
    page.remove();
    mail.querySelector("details").open = true;
  }
}

function fill(article, message) {
  // A provider that words the call itself leaves nothing to say but the text.
  const values = { ...message, fate: message.delivery[0].toUpperCase() + message.delivery.slice(1), spoken: message.spoken ?? message.body };
  article.querySelector(".fate").dataset.delivery = message.delivery;
  for (const slot of article.querySelectorAll("[data-field]")) {
    const value = values[slot.dataset.field] ?? "";
    if (slot instanceof HTMLTimeElement) {
      if (slot.dateTime === value) continue;
      slot.dateTime = value;
      localize(slot);
    } else if (slot instanceof HTMLInputElement) {
      // Somebody may have selected it.
      if (slot.value !== value) slot.value = value;
    } else if (slot.textContent !== value) {
      slot.textContent = value;
    }
  }
}

function localize(time) {
  const date = new Date(time.dateTime);
  if (Number.isNaN(date.getTime())) return;
  time.textContent = readableTime.format(date);
  time.title = time.dateTime;
}

// A burst becomes one sentence, so that a screen reader is not kept busy.
function announce(heading) {
  unannounced.push(heading.trim());
  if (unannounced.length > 1) return;
  setTimeout(() => {
    announcer.textContent = unannounced.length === 1 ? `New: ${unannounced[0]}` : `${unannounced.length} new messages`;
    unannounced = [];
  }, ANNOUNCE_MILLISECONDS);
}

function showConnection(state, text) {
  connection.hidden = false;
  connection.dataset.state = state;
  connection.textContent = text;
}
