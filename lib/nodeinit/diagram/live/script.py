"""What a page that is kept up to date does in a browser; without it, or from a file, it is complete."""

from __future__ import annotations

SCRIPT = """
"use strict";
(function () {
  var main = document.querySelector("main"), note = document.getElementById("live");
  var etag = "", fails = 0, pause = 1000, over = main.dataset.over === "true";
  function say(text) { note.textContent = text; note.hidden = !text; }
  function put(html, ended) {
    var old = Array.from(main.querySelectorAll(".scroll")).map(function (e) { return e.scrollLeft; });
    main.innerHTML = html;
    main.querySelectorAll(".scroll").forEach(function (e, n) { e.scrollLeft = old[n] || 0; });
    var state = main.querySelector(".state");
    if (state) { document.title = state.dataset.title; }
    over = ended;
    say(over ? "" : "live");
  }
  function gone() {
    say("Whoever kept this page up to date has ended; this is the last that was known.");
  }
  function ask() {
    if (over) { return; }
    fetch("content", {cache: "no-store", headers: etag ? {"If-None-Match": etag} : {}})
      .then(function (answer) {
        fails = 0;
        if (answer.status === 304) { return null; }
        if (!answer.ok) { throw new Error(answer.status); }
        etag = answer.headers.get("ETag") || "";
        return answer.text().then(function (html) {
          put(html, answer.headers.get("X-Over") === "true");
        });
      })
      .catch(function () { fails += 1; if (fails > 2) { gone(); } })
      .then(function () { if (!over && fails < 60) { setTimeout(ask, pause * (fails > 2 ? 5 : 1)); } });
  }
  if (over) { return; }
  if (location.protocol === "file:") {
    var age = Date.now() - Number(main.dataset.at);
    if (age < 30000) { say("live"); setTimeout(function () { location.reload(); }, 2000); }
    else { gone(); }
    return;
  }
  say("live");
  if (!window.EventSource) { ask(); return; }
  var events = new EventSource("events");
  events.onmessage = function (event) {
    var news = JSON.parse(event.data);
    put(news.content, news.over);
  };
  events.addEventListener("end", function () { events.close(); if (!over) { gone(); } });
  events.onerror = function () { events.close(); ask(); };
}());
"""

STYLE = """
#live{position:fixed;right:10px;bottom:10px;max-width:min(90vw,34em);padding:.25em .8em;
border-radius:1em;background:var(--box);border:1px solid var(--edge);color:var(--mute);font-size:.85em}
#live[hidden]{display:none}
@media print{#live{display:none}}
"""
