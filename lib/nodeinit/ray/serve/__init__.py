"""An engine class of your own on Ray Serve, whose replicas bring their node up before they serve.

    @serve.deployment(placement_group_bundles=[{"CPU": 1, "GPU": 1}, {"GPU": 1}])
    @with_node(LLMConfig.load("config.yaml"))
    @serve.ingress(app)
    class Engine:
        async def on_node_ready(self) -> None:
            self.llm = await load(self.node.model.path, **self.node.ctx.extra_init_kwargs)

or `deployment(Engine, config)`, which also says what Serve has to reserve. `startupz()` is a small
application that answers `GET /startupz` for all replicas of the cluster while they initialize.
"""

from nodeinit.ray.posts import Posted, posted
from nodeinit.ray.serve.factory import deployment
from nodeinit.ray.serve.modes import Mode, NotReady, ReplicaFailed
from nodeinit.ray.serve.startupz import startupz
from nodeinit.ray.serve.wrapping import with_node

__all__ = [
    "Mode",
    "NotReady",
    "Posted",
    "ReplicaFailed",
    "deployment",
    "posted",
    "startupz",
    "with_node",
]
