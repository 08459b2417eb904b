// Keeps marked parts of a page fresh, and copies text. The page works without it.
// @ts-check

const LEAST_PAUSE_MS = 1000;
/** Also without a change: "3m ago" has to move, and so has a page whose connection is lost. */
const MOST_PAUSE_MS = 15000;
const link = document.getElementById("link");
let isDue = false;
let isBusy = false;
let isConnected = false;

/** @param {string} text @param {string} state */
function say(text, state) {
  if (link && link.textContent !== text) {
    link.textContent = text;
    link.dataset.state = state;
  }
}

/** Whether a reader would lose their place if this part were replaced. @param {Element} part */
function isInUse(part) {
  const selection = document.getSelection();
  const isSelected = selection && !selection.isCollapsed && selection.containsNode(part, true);
  const isTyped = [...part.querySelectorAll("input")].some((it) => it.value !== it.defaultValue);
  return Boolean(isSelected || isTyped);
}

/** What has the focus in a part, as something that finds it in the fresh one. @param {Element} part */
function focusIn(part) {
  const focused = document.activeElement;
  if (!focused || focused === document.body || !part.contains(focused)) return null;
  if (focused.id) return `#${focused.id}`;
  const href = focused.getAttribute("href");
  if (href) return `a[href="${CSS.escape(href)}"]`;
  if (focused.matches(".scroll")) return ".scroll";
  return "";
}

/** @param {string} html */
function replaceParts(html) {
  const fresh = new DOMParser().parseFromString(html, "text/html");
  for (const part of fresh.querySelectorAll("[data-live][id]")) {
    const old = document.getElementById(part.id);
    if (!old || old.outerHTML === part.outerHTML || isInUse(old)) continue;
    const focus = focusIn(old);
    if (focus !== null && (focus === "" || !part.querySelector(focus))) continue;
    const scroller = old.querySelector(".scroll");
    const left = scroller ? scroller.scrollLeft : 0;
    old.replaceWith(document.adoptNode(part));
    const next = part.querySelector(".scroll");
    if (next) next.scrollLeft = left;
    const focused = focus && part.querySelector(focus);
    if (focused instanceof HTMLElement) focused.focus({ preventScroll: true });
  }
}

function freshAddress() {
  const address = new URL(location.href);
  if (address.pathname === "/") address.searchParams.set("fragment", "live");
  // The page that says why an order was refused has the address of the order.
  address.pathname = address.pathname.replace(/^(\/[tsp]\/[^/]+)\/.*$/, "$1");
  return address;
}

async function refresh() {
  if (isBusy || document.hidden) {
    isDue = true;
    return;
  }
  isBusy = true;
  isDue = false;
  try {
    const answer = await fetch(freshAddress(), { headers: { accept: "text/html" } });
    if (answer.redirected && new URL(answer.url).pathname === "/login") location.reload();
    if (!answer.ok) say(`cannot be read again (${answer.status})`, "off");
    else {
      replaceParts(await answer.text());
      if (isConnected) say("live", "on");
    }
  } catch {
    // The next tick, or the connection when it is back, tries again.
  }
  setTimeout(() => {
    isBusy = false;
    if (isDue) refresh();
  }, LEAST_PAUSE_MS);
}

function listen() {
  const events = new EventSource("/api/v1/events");
  events.addEventListener("open", () => {
    // What happened while nobody listened is on the fresh page.
    if (link?.dataset.state === "off") refresh();
    isConnected = true;
    say("live", "on");
  });
  events.addEventListener("change", refresh);
  events.addEventListener("error", () => {
    isConnected = false;
    if (events.readyState === EventSource.CLOSED) {
      say("not live, trying again soon", "off");
      setTimeout(listen, 5000);
    } else {
      say("connection lost, trying again", "off");
    }
  });
  addEventListener("pagehide", () => events.close(), { once: true });
}

/** @param {HTMLButtonElement} button */
function offerCopy(button) {
  const label = button.textContent;
  button.hidden = false;
  button.addEventListener("click", async () => {
    const text = document.getElementById(button.dataset.copy ?? "")?.textContent ?? "";
    button.textContent = (await copy(text)) ? "Copied" : "Press Ctrl+C";
    setTimeout(() => (button.textContent = label), 2000);
  });
}

/** Without TLS there is no clipboard, so the old way is the second. @param {string} text */
async function copy(text) {
  if (navigator.clipboard) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // Not allowed: the old way may be.
    }
  }
  const area = document.createElement("textarea");
  area.value = text;
  area.readOnly = true;
  area.className = "hidden";
  document.body.append(area);
  area.select();
  const isCopied = document.execCommand("copy");
  area.remove();
  return isCopied;
}

for (const button of document.querySelectorAll("button.copy")) {
  if (button instanceof HTMLButtonElement) offerCopy(button);
}
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && isDue) refresh();
});
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});
if (new URL(location.href).searchParams.has("ordered")) {
  // Said once: loading the page again gives no order, and should not claim so.
  history.replaceState(null, "", location.pathname);
}
if (document.querySelector("[data-live]")) {
  listen();
  setInterval(refresh, MOST_PAUSE_MS);
}
