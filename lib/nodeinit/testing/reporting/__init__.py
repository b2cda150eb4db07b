"""Reports of a check: one value (`CheckReport`), and renderers over it, each by its format.

`registry.render(report, "junit")` gives a text, `registry.write(report, formats, directory)` files;
`registry.register` adds a format of one's own. The same report always gives the same bytes.
"""
