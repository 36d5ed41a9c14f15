// Keeps a page as it is at the hub: fetches it again when something changed and puts in what
// differs, so that focus, scroll, selection and what is being typed stay. Without it a page works
// all the same. If it cannot keep up, it says so.
"use strict";
(() => {
  const root = document.documentElement;
  const main = document.getElementById("main");
  const link = document.getElementById("link");
  const state = document.getElementById("link-state");
  if (!link || !window.EventSource) return;

  const SILENCE_MS = 12000; // the hub says something every 5 s
  const AGAIN_MS = 3000;
  const APART_MS = 700; // between two fetches; longer for a page that takes the hub long
  const STALE_MS = 30000; // words such as "on air now" grow old by themselves
  const isList = location.pathname === "/";

  let source = null;
  let change = root.dataset.change;
  let ahead_ms = Number(root.dataset.now) - Date.now(); // the hub's clock against this one
  let word_ms = Date.now(); // when the hub was last heard of
  let fetched_ms = Date.now();
  let took_ms = 0;
  let opened_ms = 0;
  let lost = "";
  let isOver = false;
  let isFetching = false;
  let isWanted = false;

  const hubNow = () => Date.now() + ahead_ms;
  const clock = (at_ms) =>
    new Date(at_ms + ahead_ms + Number(root.dataset.offset) * 60000).toISOString().slice(11, 19);

  function say(text, isLost) {
    if (state.textContent !== text) state.textContent = text;
    link.classList.toggle("is-lost", isLost);
    const title = document.title.replace(/^Not live: /, "");
    document.title = isLost ? `Not live: ${title}` : title;
  }

  function live() {
    word_ms = Date.now();
    if (isOver) return;
    say(lost ? `Live again. It was not from ${lost} to ${clock(word_ms)}.` : "Live.", false);
    lost = "";
  }

  function gone(why) {
    if (isOver) return;
    lost = lost || clock(word_ms);
    say(`Not live since ${lost}: ${why} What you see may be old.`, true);
  }

  function over() {
    gone("you are logged out. Reload to log in.");
    isOver = true;
    if (source) source.close();
  }

  function connect() {
    if (source) source.close();
    opened_ms = Date.now();
    source = new EventSource("/live");
    source.addEventListener("beat", live);
    source.addEventListener("over", over);
    source.addEventListener("crowded", () => {
      source.close();
      gone("too many of your pages are open.");
    });
    source.addEventListener("changed", (event) => {
      live();
      if (event.data !== change) refresh();
    });
    source.onerror = () => gone("the hub does not answer.");
  }

  async function refresh() {
    isWanted = true;
    if (isFetching) return;
    isFetching = true;
    while (isWanted && !isOver) {
      isWanted = false;
      const early_ms = fetched_ms + Math.max(APART_MS, 3 * took_ms) - Date.now();
      if (early_ms > 0) await new Promise((go) => setTimeout(go, early_ms));
      fetched_ms = Date.now();
      try {
        const answer = await fetch(location.href, {
          headers: { "Fanal-Live": "1" }, cache: "no-store", credentials: "same-origin",
        });
        if (answer.status === 401) over();
        else if (!answer.ok) gone(`the hub answers ${answer.status}.`);
        else {
          const text = await answer.text();
          took_ms = Date.now() - fetched_ms;
          show(new DOMParser().parseFromString(text, "text/html"));
        }
      } catch {
        gone("the hub does not answer.");
      }
    }
    isFetching = false;
  }

  function show(fresh) {
    const at = fresh.documentElement.dataset;
    const content = fresh.getElementById("main");
    if (!content || at.change === undefined) return;
    change = at.change;
    ahead_ms = Number(at.now) - Date.now();
    root.dataset.offset = at.offset;
    const was = ranks();
    const wasOpen = openAlerts();
    const hadFocus = main.contains(document.activeElement);
    morph(main, content);
    document.title = fresh.title;
    const footer = document.querySelector("footer");
    morph(footer, fresh.querySelector("footer"));
    if (hadFocus && !main.contains(document.activeElement)) main.focus({ preventScroll: true });
    announce(was, wasOpen);
    tick();
  }

  // What is new is what has a higher number than anything of its kind had before.
  const group = (node) => node.id.replace(/[0-9]+$/, "");

  function ranks() {
    const found = new Map();
    for (const node of main.querySelectorAll("[data-rank]")) {
      found.set(group(node), Math.max(found.get(group(node)) || 0, Number(node.dataset.rank)));
    }
    return found;
  }

  // And an alert of a list that was none, or not open: a drill turns out to be one, one is reopened.
  function openAlerts() {
    return new Set(Array.from(main.querySelectorAll(".incident[data-alarm]"), (node) => node.id));
  }

  function announce(was, wasOpen) {
    const opened = openAlerts();
    const alarms = [];
    const others = [];
    for (const node of main.querySelectorAll("[data-rank]")) {
      const isOld = Number(node.dataset.rank) <= (was.get(group(node)) || 0);
      if (isOld && (!opened.has(node.id) || wasOpen.has(node.id))) continue;
      (node.dataset.alarm ? alarms : others).push(node.dataset.alarm || node.dataset.announce);
    }
    if (alarms.length) document.getElementById("alarm").textContent = alarms.join(". ");
    if (others.length) document.getElementById("announce").textContent = others.join(". ");
  }

  function morph(old, fresh) {
    for (const { name, value } of fresh.attributes) {
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    for (const { name } of Array.from(old.attributes)) {
      const isOwn = name === "open" && old.tagName === "DETAILS";
      if (!fresh.hasAttribute(name) && !isOwn) old.removeAttribute(name);
    }
    if (old.tagName !== "TEXTAREA") morphChildren(old, fresh);
  }

  function morphChildren(old, fresh) {
    const named = new Map();
    for (const child of old.children) if (child.id) named.set(child.id, child);
    const wanted = new Set(Array.from(fresh.children, (child) => child.id).filter(Boolean));
    let at = old.firstChild;
    const drop = () => {
      const next = at.nextSibling;
      at.remove();
      at = next;
    };
    for (const want of Array.from(fresh.childNodes)) {
      while (at && at.id && !wanted.has(at.id)) drop();
      const have = want.id ? named.get(want.id) : isAlike(at, want) ? at : null;
      if (!have || have.nodeName !== want.nodeName) {
        old.insertBefore(document.importNode(want, true), at);
        continue;
      }
      if (have === at) at = at.nextSibling;
      else old.insertBefore(have, at);
      if (have.nodeType === Node.ELEMENT_NODE) morph(have, want);
      else if (have.data !== want.data) have.data = want.data;
    }
    while (at) drop();
  }

  const isAlike = (have, want) => have && have.nodeName === want.nodeName && !have.id;

  // The same words as `shown.ago`.
  function ago(at_ms) {
    const seconds = Math.floor((hubNow() - at_ms) / 1000);
    if (seconds < 1) return "now";
    for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]]) {
      if (seconds >= size) return `${Math.floor(seconds / size)} ${unit} ago`;
    }
    return "";
  }

  function tick() {
    for (const node of main.querySelectorAll("time[data-ago]")) {
      const text = ago(Date.parse(node.dateTime));
      if (node.firstChild && node.firstChild.data !== text) node.firstChild.data = text;
    }
  }

  function watch() {
    if (isOver || !source) return;
    const now_ms = Date.now();
    tick();
    if (now_ms - word_ms > SILENCE_MS) gone("the hub does not answer.");
    const isStuck = now_ms - word_ms > SILENCE_MS || source.readyState === EventSource.CLOSED;
    if (isStuck && now_ms - opened_ms > AGAIN_MS) connect();
    if (!lost && now_ms - fetched_ms > STALE_MS) refresh();
  }

  // A browser gives a host six connections in all: pages that nobody sees leave theirs, but for
  // the list, whose title tells of a new alert.
  function seen() {
    if (isOver) return;
    if (document.hidden && !isList) {
      if (source) source.close();
      source = null;
    } else if (!source || source.readyState === EventSource.CLOSED) {
      connect();
      refresh();
    }
  }

  document.getElementById("reload").addEventListener("click", (event) => {
    event.preventDefault();
    location.reload();
  });
  document.addEventListener("visibilitychange", seen);
  window.addEventListener("pageshow", (event) => { if (event.persisted) seen(); });
  window.addEventListener("pagehide", () => { if (source) source.close(); });
  setInterval(watch, 1000);
  seen();
})();
