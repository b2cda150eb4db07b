"""How the page of a report looks, in light and in dark."""

from __future__ import annotations

STYLE = """
:root { --ink: #0f172a; --paper: #ffffff; --dim: #64748b; --line: #cbd5e1; --code: #f1f5f9;
  --bad: #b91c1c; --bad-bg: #fee2e2; --good: #166534; --good-bg: #dcfce7; --way: #dbeafe;
  --bar: #93c5fd; --unsure: #92400e; --unsure-bg: #fef3c7; }
@media (prefers-color-scheme: dark) { :root { --ink: #e2e8f0; --paper: #0f172a; --dim: #94a3b8;
  --line: #334155; --code: #1e293b; --bad: #fca5a5; --bad-bg: #450a0a; --good: #86efac;
  --good-bg: #052e16; --way: #172554; --bar: #1d4ed8; --unsure: #fcd34d; --unsure-bg: #451a03; } }
body { color: var(--ink); background: var(--paper); font: 15px/1.5 system-ui, sans-serif;
  max-width: 75rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
code, pre { font-family: ui-monospace, monospace; background: var(--code); border-radius: 4px; }
code { padding: 0 .25em; } pre { padding: .6rem .8rem; overflow-x: auto; }
section { border-left: 4px solid var(--bad); padding-left: 1rem; margin: 2rem 0; }
.bad, .good, .unsure { border-radius: 4px; padding: 0 .4em; }
.bad { color: var(--bad); background: var(--bad-bg); }
.good { color: var(--good); background: var(--good-bg); }
.unsure { color: var(--unsure); background: var(--unsure-bg); }
.note { color: var(--dim); }
.wide { overflow-x: auto; }
.picture svg { display: block; max-width: max(100%, 1300px) !important; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .25rem .6rem;
  border-bottom: 1px solid var(--line); }
th { color: var(--dim); font-weight: 600; }
tr.step { background: var(--way); font-weight: 600; }
tr.wrong { background: var(--bad-bg); color: var(--bad); font-weight: 600; }
tr.never td { color: var(--dim); border-bottom-style: dashed; }
del { color: var(--dim); } ins { text-decoration: none; font-weight: 600; }
.bar { display: inline-block; height: .6em; margin-right: .5em; background: var(--bar);
  border-radius: 2px; }
"""
