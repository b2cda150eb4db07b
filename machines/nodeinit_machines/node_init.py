"""The standard machine: from a config to a node that is ready. Read it from top to bottom.

               start        done          done           done
      ● idle ───────► config ─────► download ─────► placement ─────► ready ──release──┐
                        ▲              ▲  ▲   displaced  │  ▲          │              │
                        │              │  └──────────────┘  │   lost   │              │
                        └── backoff ◄──┴── errored/elapsed ─┘ ◄────────┘              │
                               [attempts left]                                        ▼
      errored · elapsed [none left] · cancel, from every phase ─────────────► releasing ──► …

Edges out of one state for one event are tried in the order in which they stand here.
"""

from __future__ import annotations

from nodeinit.context import CallbackCtx, forbidden_change
from nodeinit.fsm.definition import Definition, Edge, Phase, retries
from nodeinit.fsm.events import Event, Frame
from nodeinit.fsm.guards import attempts_left, ends_in, heals, replans_left, temporary
from nodeinit.node.activities import (
    bring_model,
    next_plan,
    place_workers,
    read_config,
    remove_group,
    stop_fetch,
    watch_node,
)
from nodeinit.node.codec import ContextCodec
from nodeinit.node.guards import model_is_complete, placement_is_valid
from nodeinit.node.phases import Holding, NodePhase
from nodeinit.node.policy import DEFAULT

IDLE, BACKOFF, READY, RELEASING = Frame.IDLE, Frame.BACKOFF, Frame.READY, Frame.RELEASING
CONFIG, DOWNLOAD, PLACEMENT = NodePhase
PHASES = (CONFIG, DOWNLOAD, PLACEMENT)

BEFORE_INIT = ("on_before_init",)
BEFORE_DOWNLOAD = ("on_before_download",)
BEFORE_PLACEMENT = ("on_before_placement",)
AFTER_INIT = ("on_after_init",)
INIT_FAILED = ("on_init_failed",)

NODE_INIT = Definition(
    name="node_init",
    context=CallbackCtx,
    check_change=forbidden_change,
    codec=ContextCodec(),
    policy=DEFAULT,
    phases=(
        Phase(CONFIG, read_config, summary="plan the workers, list the model's files"),
        Phase(DOWNLOAD, bring_model, (Holding.FETCH,), "bring the files to every host of the plan"),
        Phase(PLACEMENT, place_workers, (Holding.GROUP,), "reserve the plan and read it back"),
    ),
    watch=watch_node,
    undo={Holding.FETCH: stop_fetch, Holding.GROUP: remove_group},
    host_hooks=("on_node_download",),
    edges=(
        # The way to ready.
        Edge(IDLE, Event.START, CONFIG, hooks=BEFORE_INIT),
        Edge(CONFIG, Event.DONE, DOWNLOAD, hooks=BEFORE_DOWNLOAD),
        Edge(DOWNLOAD, Event.DONE, PLACEMENT, hooks=BEFORE_PLACEMENT),
        Edge(
            PLACEMENT, Event.DONE, READY, (placement_is_valid, model_is_complete), hooks=AFTER_INIT
        ),
        # A new plan: hosts that have the files already fetch nothing.
        Edge(
            PLACEMENT, Event.DISPLACED, DOWNLOAD, (replans_left,), BEFORE_DOWNLOAD, assign=next_plan
        ),
        Edge(READY, Event.LOST, DOWNLOAD, (heals, replans_left), BEFORE_DOWNLOAD, assign=next_plan),
        # Another try of the same phase, from the context it began with. A result that breaks a rule
        # of `ready` counts as an error, with the rule as its reason.
        Edge(PHASES, (Event.ERRORED, Event.ELAPSED), BACKOFF, (temporary, attempts_left)),
        Edge(PLACEMENT, Event.DONE, BACKOFF, (attempts_left,)),
        *(Edge(BACKOFF, Event.RETRY, phase, (retries(phase),)) for phase in PHASES),
        # The way out. Outside a phase, `errored` is a failing hook, watch, or journal.
        Edge((IDLE, *PHASES, BACKOFF, READY), Event.ERRORED, RELEASING),
        Edge(PHASES, Event.ELAPSED, RELEASING),
        Edge(PLACEMENT, Event.DONE, RELEASING),
        Edge(PLACEMENT, Event.DISPLACED, RELEASING),
        Edge(READY, (Event.LOST, Event.RELEASE), RELEASING),
        Edge((IDLE, *PHASES, BACKOFF, READY), Event.CANCEL, RELEASING),
        # Releasing gives back everything that is held, and is the only way into a final state.
        Edge(
            RELEASING,
            Event.UNDONE,
            Frame.FAILED,
            (ends_in(Frame.FAILED),),
            INIT_FAILED,
            observes=True,
        ),
        Edge(
            RELEASING,
            Event.UNDONE,
            Frame.CANCELLED,
            (ends_in(Frame.CANCELLED),),
            INIT_FAILED,
            observes=True,
        ),
        Edge(RELEASING, Event.UNDONE, Frame.RELEASED),
    ),
)
