"""Bringing a model to hosts: `manifest` says what, `sources` from where, `fetch` does it."""
