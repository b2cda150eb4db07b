"""`startupz()`: a small application that answers for all replicas while Serve routes to none of them."""

from __future__ import annotations

import asyncio
from typing import Any

from ray import serve
from starlette.requests import Request
from starlette.responses import Response

from nodeinit.ray import posts
from nodeinit.ray.serve import probe
from nodeinit.ray.serve.overview import Overview, overview

NAME = "nodeinit-startupz"
"""What the application is called unless told otherwise."""


class Startupz:
    """Answers `GET /startupz`, `/startupz/APP` and `/startupz/APP/DEPLOYMENT`.

    200 when every deployment (of the cluster, or of what is named) has a ready replica, 503 until
    then, 404 for what Serve does not know.
    """

    async def __call__(self, request: Request) -> Response:
        """Answer a probe."""
        root = str(request.scope.get("root_path") or "")
        rest = request.url.path.removeprefix(root).strip("/")
        app, _, deployment = rest.partition("/")
        found = await asyncio.to_thread(_look, app or None, deployment or None)
        if isinstance(found, str):
            return probe.respond({"error": {"message": found}}, code=404)
        return probe.respond(found.to_dict(), code=200 if found.ready else 503, wait=found.left)


def startupz(**options: Any) -> serve.Application:
    """The application; `options` are those of `serve.deployment`.

    `serve.run(startupz(), name="nodeinit-startupz", route_prefix="/startupz")`. It takes no CPU of
    the cluster's count, and its own route, so that the routes of engines stay as they are.
    """
    options.setdefault("name", "Startupz")
    options.setdefault("ray_actor_options", {"num_cpus": 0})
    return serve.deployment(Startupz, **options).bind()


def _look(app: str | None, deployment: str | None) -> Overview | str:
    """How the named deployments are, or a sentence that there are none."""
    mine = serve.get_replica_context().app_name
    known = {name: seen for name, seen in serve.status().applications.items() if name != mine}
    if app is not None:
        if app not in known or deployment not in (None, *known[app].deployments):
            what = f"application {app!r}" + (
                f" with a deployment {deployment!r}" if deployment else ""
            )
            return f"Serve has no {what}; its applications: {', '.join(sorted(known)) or 'none'}"
        known = {app: known[app]}
    return overview(known, posts.posted(app, deployment), deployment)
