// Keeps the page as it came up to date: takes what changed as HTML made by the coordinator, and counts times on between.
// It decides nothing and draws nothing of its own; without it the page is complete and stands still.
"use strict";

(() => {
  const page = document.getElementById("page");
  const link = document.getElementById("link");
  const body = document.body;
  // The coordinator's clock, in milliseconds, as of performance.now() === 0.
  let clock = 0;
  let beat = 5000;
  let heard = performance.now();
  let source = null;
  let wait = 1000;
  let stuck = false;
  let broken = false;
  let seen = "";

  const set_clock = (now) => { clock = now - performance.now(); };
  const now = () => clock + performance.now();

  // The same words as in the page that came: see `duration` in words.rs.
  function duration(millis) {
    const secs = Math.floor(Math.max(0, millis) / 1000);
    const two = (big, unit, small, small_unit) => big + " " + unit + (small === 0 ? "" : " " + small + " " + small_unit);
    if (secs < 60) return secs + " s";
    if (secs < 3600) return two(Math.floor(secs / 60), "min", secs % 60, "s");
    if (secs < 86400) return two(Math.floor(secs / 3600), "h", Math.floor(secs % 3600 / 60), "min");
    return two(Math.floor(secs / 86400), secs < 172800 ? "day" : "days", Math.floor(secs % 86400 / 3600), "h");
  }

  function write(element, text) {
    if (element.textContent !== text) element.textContent = text;
  }

  function tick() {
    const at = now();
    for (const time of document.querySelectorAll("time[data-ago]")) write(time, duration(at - Number(time.dataset.ago)));
    for (const time of document.querySelectorAll("time[data-left]")) write(time, duration(Number(time.dataset.left) - at));
    for (const bar of document.querySelectorAll("progress[data-from]")) {
      const from = Number(bar.dataset.from);
      bar.value = Math.min(1000, Math.max(0, Math.floor((at - from) * 1000 / Math.max(1, Number(bar.dataset.until) - from))));
    }
    told();
  }

  // How old what is shown may be, in words that a screen reader hears when they change and not every second.
  function told() {
    const silent = performance.now() - heard;
    let trouble = "";
    if (broken) trouble = "No connection";
    else if (stuck) trouble = "The coordinator's loop does not answer";
    else if (silent > 3 * beat) trouble = "No word from the coordinator";
    body.classList.toggle("lost", trouble !== "");
    link.className = trouble ? "lost" : "live";
    write(link, trouble ? trouble + ": this is how it was at " + seen + ". Trying again" : "Live");
  }

  function parsed(html) {
    const template = document.createElement("template");
    template.innerHTML = html;
    return template.content;
  }

  // Makes `old` like `fresh` and keeps what is the same, so that focus, selection and open parts stay.
  function patch(old, fresh) {
    if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName || old.id !== fresh.id) {
      old.replaceWith(fresh);
      return;
    }
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.data !== fresh.data) old.data = fresh.data;
      return;
    }
    for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
    for (const { name, value } of [...fresh.attributes]) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    patch_children(old, fresh);
  }

  function patch_children(old, fresh) {
    const children = [...fresh.childNodes];
    while (old.childNodes.length > children.length) old.lastChild.remove();
    children.forEach((child, index) => (index < old.childNodes.length ? patch(old.childNodes[index], child) : old.append(child)));
  }

  function news(element) {
    element.classList.remove("news");
    requestAnimationFrame(() => element.classList.add("news"));
  }

  function change(region, { order, items = {} }) {
    const parent = document.getElementById(region);
    if (!parent) return;
    const fresh = new Map();
    for (const [id, html] of Object.entries(items)) {
      const element = parsed(html).firstElementChild;
      const old = document.getElementById(id);
      if (old) {
        patch(old, element);
        news(document.getElementById(id));
      } else {
        fresh.set(id, element);
      }
    }
    if (!order) return;
    const wanted = new Set(order);
    for (const child of [...parent.children]) if (!wanted.has(child.id)) child.remove();
    order.forEach((id, index) => {
      const element = fresh.get(id) || document.getElementById(id);
      if (element && parent.children[index] !== element) parent.insertBefore(element, parent.children[index] || null);
    });
    fresh.forEach(news);
  }

  function took(event) {
    heard = performance.now();
    stuck = broken = false;
    wait = 1000;
    const message = JSON.parse(event.data);
    if (message.now !== undefined) set_clock(message.now);
    seen = new Date().toLocaleTimeString([], { hour12: false });
    return message;
  }

  function title() {
    const verdict = document.querySelector("#verdict [data-title]");
    if (verdict) document.title = verdict.dataset.title + " · " + document.querySelector(".brand bdi").textContent + " · Warden";
  }

  const events = {
    hello(event) {
      const message = took(event);
      beat = message.beat;
      if (message.build !== body.dataset.build) location.reload();
    },
    whole(event) {
      const fresh = document.createElement("main");
      fresh.append(parsed(took(event).html));
      patch_children(page, fresh);
      title();
      tick();
    },
    delta(event) {
      const { regions = {}, figures = {} } = took(event);
      for (const [id, text] of Object.entries(figures)) {
        const element = document.getElementById(id);
        if (element) write(element, text);
      }
      for (const [region, changes] of Object.entries(regions)) change(region, changes);
      title();
      tick();
    },
    beat: took,
    stuck() {
      heard = performance.now();
      stuck = true;
      broken = false;
      told();
    },
  };

  function connect() {
    source = new EventSource("/events?" + encodeURIComponent(body.dataset.version));
    for (const [name, act] of Object.entries(events)) {
      source.addEventListener(name, (event) => {
        if (event.lastEventId) body.dataset.version = event.lastEventId;
        act(event);
      });
    }
    source.onerror = () => {
      broken = true;
      told();
      // A connection that broke is tried again by the browser; one that was refused is not: longer and longer, up to half a minute.
      if (source.readyState !== EventSource.CLOSED) return;
      source.close();
      setTimeout(connect, wait * (0.5 + Math.random()));
      wait = Math.min(30000, wait * 2);
    };
  }

  set_clock(Number(body.dataset.now));
  seen = new Date().toLocaleTimeString([], { hour12: false });
  setInterval(tick, 1000);
  connect();
})();
