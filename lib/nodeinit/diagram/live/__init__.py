"""A run that goes on, kept up to date: from its journal or its node, in a file and for a browser."""

from nodeinit.diagram.live.following import Follower
from nodeinit.diagram.live.keeping import LivePage

__all__ = ["Follower", "LivePage"]
