// The page works without this script. With it, it follows the queue, and has keys.
"use strict";
(() => {
  const $ = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const main = $("#main");

  // What somebody is busy with is not changed under his hands.
  let typed = false;
  const busy = () =>
    typed ||
    all("#selection input:checked").length > 0 ||
    $("details.pause[open]", main) !== null ||
    $("#help").open ||
    (main.contains(getSelection().anchorNode) && !getSelection().isCollapsed);

  // refresh fetches the page again and changes what has changed.
  let loading = null, waiting = false, well = true, whole = !("slow" in document.body.dataset);
  async function refresh() {
    if (loading) { waiting = true; return; }
    if (busy()) { say("changed, waiting for you"); waiting = true; return; }
    loading = new AbortController();
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, signal: loading.signal, cache: "no-store" });
      if (answer.status === 401 || answer.status === 403) { location.reload(); return; }
      const text = await answer.text();
      if (busy()) { waiting = true; return; }
      const page = new DOMParser().parseFromString(text, "text/html");
      const fresh = $("#main", page);
      if (!fresh) throw new Error("no page");
      const slow = "slow" in page.body.dataset;
      if (slow && whole) { say("changed, searching again"); reload(page.body.dataset.reload); return; } // what is shown stays until the answer is whole
      whole = !slow;
      well = answer.ok;
      Idiomorph.morph(main, fresh.innerHTML, {
        morphStyle: "innerHTML",
        ignoreActiveValue: true,
        callbacks: {
          beforeAttributeUpdated: (name, node) => !(name === "open" && node.tagName === "DETAILS"),
          beforeNodeMorphed: (node) => !(node.id === "live"),
        },
      });
      document.title = page.title;
      mark();
      say(well ? "live" : "");
      reload(page.body.dataset.reload);
      if ("live" in page.body.dataset) { document.body.dataset.live = ""; follow(); }
    } catch (error) {
      if (error.name !== "AbortError") { say("no connection, trying again"); reload(5); }
    } finally {
      loading = null;
      if (waiting && !busy()) { waiting = false; later(refresh, 300); }
    }
  }
  const timers = new Map();
  function later(fn, milliseconds) {
    clearTimeout(timers.get(fn));
    timers.set(fn, setTimeout(fn, milliseconds));
  }
  function reload(seconds) { if (seconds) later(refresh, 1000 * seconds); }
  function say(text) { const live = $("#live"); if (live && live.textContent !== text) live.textContent = text; }
  const catchUp = () => { if (waiting && !busy() && !loading) { waiting = false; later(refresh, 100); } };

  // The server says when something has changed. Where its stream is cut off, the page asks.
  let stream = null, polling = null;
  function follow() {
    if (!("live" in document.body.dataset) || stream) return;
    stream = new EventSource("events");
    stream.addEventListener("changed", () => refresh());
    stream.addEventListener("gone", () => say("the database does not answer"));
    stream.onopen = () => {
      if (well) say("live");
      if (polling) { clearInterval(polling); polling = null; refresh(); } // what changed meanwhile
    };
    stream.onerror = () => {
      if (stream && stream.readyState === EventSource.CLOSED) { stream = null; later(follow, 30000); }
      if (!polling) polling = setInterval(() => { if (!document.hidden) refresh(); }, 10000);
    };
  }
  function unfollow() { if (stream) stream.close(); stream = null; clearInterval(polling); polling = null; }
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) later(unfollow, 5000);
    else { clearTimeout(timers.get(unfollow)); follow(); if ("live" in document.body.dataset) refresh(); }
  });
  addEventListener("pagehide", unfollow);
  addEventListener("pageshow", (event) => { if (event.persisted && "live" in document.body.dataset) { follow(); refresh(); } });

  // Rows: j and k move, x selects, Enter opens.
  let here = null;
  const rows = () => all("[data-row]", main);
  function mark() {
    all(".here", main).forEach((row) => row.classList.remove("here"));
    const row = here && document.getElementById(here);
    if (row) row.classList.add("here");
    count();
  }
  function move(step) {
    const list = rows();
    if (!list.length) return;
    const at = list.findIndex((row) => row.id === here);
    const row = list[Math.min(list.length - 1, Math.max(0, at < 0 ? 0 : at + step))];
    here = row.id;
    mark();
    const link = $("[data-open]", row);
    if (link) link.focus({ preventScroll: true });
    row.scrollIntoView({ block: "nearest" });
  }
  let going = false;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches("input:not([type=checkbox]), textarea, select")) {
      if (event.key === "Escape") { propose([]); event.target.blur(); }
      return;
    }
    if ($("#help").open) return;
    const pages = { o: "./", j: "jobs", q: "queues", t: "tasks", w: "workers", c: "crontabs", p: "operations", a: "add" };
    if (going) { going = false; if (pages[event.key]) { location.href = new URL(pages[event.key], document.baseURI); return; } }
    switch (event.key) {
      case "j": move(1); break;
      case "k": move(-1); break;
      case "x": {
        const box = here && $("input[name=id]", document.getElementById(here) || document);
        if (box) { box.checked = !box.checked; count(); }
        break;
      }
      case "/": if (!field) return; field.focus(); field.select(); break;
      case "?": $("#help").showModal(); break;
      case "g": going = field !== null; setTimeout(() => { going = false; }, 1500); break;
      default: return;
    }
    event.preventDefault();
  });

  // Selection.
  function count() {
    const form = $("#selection");
    if (!form) return;
    const boxes = all("input[name=id]", form), checked = boxes.filter((box) => box.checked).length;
    const matching = $("#select-matching").checked;
    boxes.forEach((box) => { box.disabled = matching; });
    const page = $("#select-page");
    page.checked = checked > 0 && checked === boxes.length;
    page.indeterminate = checked > 0 && checked < boxes.length;
    $("#selected").textContent = matching ? "all that match" : checked ? checked + " selected" : "";
    catchUp();
  }
  document.addEventListener("change", (event) => {
    if (event.target.id === "select-page") all("#selection input[name=id]").forEach((box) => { box.checked = event.target.checked; });
    if (event.target.closest("#selection")) count();
  });
  document.addEventListener("input", (event) => {
    if (main.contains(event.target) && !event.target.matches("[type=checkbox]")) typed = true;
    if (event.target.matches("[data-json]")) check(event.target);
    if (event.target.id === "q") later(complete, 120);
  });
  document.addEventListener("selectionchange", () => later(catchUp, 500));
  document.addEventListener("toggle", catchUp, true);

  // JSON is checked as it is typed. The server checks it again.
  function check(field) {
    const note = document.getElementById(field.getAttribute("aria-describedby"));
    let text = "JSON";
    try { JSON.parse(field.value || "{}"); field.removeAttribute("aria-invalid"); }
    catch (error) { text = "Not JSON: " + error.message; field.setAttribute("aria-invalid", "true"); }
    if (note && note.textContent !== text) note.textContent = text;
  }

  // Proposals for the last term of the search.
  const field = $("#q"), proposals = $("#proposals");
  function propose(list) {
    proposals.replaceChildren(...list.map((text) => {
      const item = document.createElement("li"), button = document.createElement("button");
      button.type = "button";
      button.textContent = text;
      button.addEventListener("click", () => {
        field.value = field.value.replace(/\S*$/, "") + text + (text.endsWith(":") ? "" : " ");
        propose([]);
        field.focus();
        if (text.endsWith(":")) complete();
      });
      item.append(button);
      return item;
    }));
    proposals.hidden = list.length === 0;
  }
  async function complete() {
    const term = /\S*$/.exec(field.value)[0];
    if (!term) return propose([]);
    try {
      const answer = await fetch("complete?term=" + encodeURIComponent(term), { headers: { Accept: "application/json" } });
      if (answer.ok && document.activeElement === field) propose((await answer.json() || []).filter((text) => text !== term));
    } catch { propose([]); }
  }
  $(".search")?.addEventListener("focusout", (event) => { if (!event.currentTarget.contains(event.relatedTarget)) propose([]); });
  $(".search")?.addEventListener("keydown", (event) => {
    const list = all("button", proposals), at = list.indexOf(document.activeElement);
    if (event.key === "ArrowDown" && list.length) { list[Math.min(at + 1, list.length - 1)].focus(); event.preventDefault(); }
    if (event.key === "ArrowUp" && at >= 0) { (list[at - 1] || field).focus(); event.preventDefault(); }
    if (event.key === "Escape") { propose([]); field.focus(); }
  });

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) {
      const label = button.textContent;
      try { await navigator.clipboard.writeText(button.previousElementSibling.textContent); button.textContent = "Copied"; }
      catch { getSelection().selectAllChildren(button.previousElementSibling); button.textContent = "Press Ctrl+C"; }
      setTimeout(() => { button.textContent = label; }, 2000);
    }
    if (event.target.id === "help-button") $("#help").showModal();
  });

  document.documentElement.classList.add("script");
  $("#help-button").hidden = false;
  all("[data-json]").forEach(check);
  mark();
  follow();
  reload(document.body.dataset.reload);
})();
