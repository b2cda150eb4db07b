"""Is there a Ray at an address? Asked before Ray tries, which takes it minutes to give up."""

from __future__ import annotations

import re

import grpc  # type: ignore[import-untyped]
from ray._private import gcs_utils, services
from ray.core.generated import gcs_service_pb2, gcs_service_pb2_grpc

from nodeinit.errors import ConfigError, Fault
from nodeinit.ray.tokens import show_token

_TIMEOUT = 5.0  # seconds for one small call to the head
_CLIENT = re.compile(r"^[a-z]+://")


def check_reachable(address: str) -> str:
    """The `host:port` that an address of a Ray cluster means, once its head has answered.

    Raises `ConfigError` naming the address: it is not one, nothing answers there within seconds, or
    what answers wants another token.
    """
    if address == "auto":
        show_token()  # as Ray does for a cluster that it finds by itself, and for no other
    if _CLIENT.match(address):
        raise _fault(
            address, "is an address of Ray Client", 'give "host:6379", the address of the head'
        )
    try:
        found: str | None = services.canonicalize_bootstrap_address(address)
    except (ValueError, OSError) as error:  # ConnectionError: "auto", and nothing runs here
        raise _fault(address, str(error)) from error
    if found is None:
        raise _fault(address, "no running Ray was found on this machine")
    channel = gcs_utils.create_gcs_channel(found)
    try:
        stub = gcs_service_pb2_grpc.NodeInfoGcsServiceStub(channel)
        stub.GetClusterId(gcs_service_pb2.GetClusterIdRequest(), timeout=_TIMEOUT)
    except grpc.RpcError as error:
        raise _explained(address, error) from error
    finally:
        channel.close()
    return found


def _explained(address: str, error: grpc.RpcError) -> ConfigError:
    match error.code():
        case grpc.StatusCode.UNAUTHENTICATED | grpc.StatusCode.PERMISSION_DENIED:
            return _fault(
                address,
                "the cluster wants a token that this process does not show",
                "set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH or RAY_AUTH_TOKEN to the "
                "cluster's token",
            )
        case grpc.StatusCode.UNAVAILABLE | grpc.StatusCode.DEADLINE_EXCEEDED:
            problem = "no Ray answers there"
        case _:
            problem = f"what answers there is not the head of a Ray cluster ({error.details()})"
    return _fault(address, problem, 'give the address of a running head, such as "host:6379"')


def _fault(address: str, problem: str, remedy: str | None = None) -> ConfigError:
    return ConfigError(Fault("address", problem, repr(address), remedy), source="Ray")
