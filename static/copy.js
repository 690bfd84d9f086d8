// Copy buttons. Every page works without this file: the buttons show only once it runs (class `scripted`), and what they
// copy can be selected by hand.

const FEEDBACK_MILLISECONDS = 2000;

document.documentElement.classList.add("scripted");

// One listener for the whole page, so that buttons that come later work too.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy-button]");
  if (!button) return;
  const source = button.closest("[data-copy-scope]").querySelector("[data-copy-source]");
  show(button, (await copy(source)) ? "Copied" : "Press Ctrl+C");
});

async function copy(source) {
  const text = source instanceof HTMLInputElement ? source.value : source.textContent;
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // No clipboard without TLS (except on localhost), or the browser refused: select it and try the old way.
    select(source);
    return document.execCommand("copy");
  }
}

function select(source) {
  if (source instanceof HTMLInputElement) {
    source.focus();
    source.select();
  } else {
    getSelection().selectAllChildren(source);
  }
}

function show(button, text) {
  const label = button.querySelector("[data-copy-label]");
  label.dataset.usual ??= label.textContent;
  label.textContent = text;
  document.getElementById("announcer").textContent = text;
  clearTimeout(button.feedback);
  button.feedback = setTimeout(() => {
    label.textContent = label.dataset.usual;
    document.getElementById("announcer").textContent = "";
  }, FEEDBACK_MILLISECONDS);
}
