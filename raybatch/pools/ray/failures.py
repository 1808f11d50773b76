"""What each exception of Ray means for the batch that was being made, and what is said of it."""

from __future__ import annotations

from enum import Enum, auto
from typing import Any

import ray
from ray import exceptions as ray_errors

from raybatch.errors import RemoteError, WorkerLostError


class Kind(Enum):
    """What failed, and so what is done."""

    WORKER_LOST = auto()  # it, or its host, is gone: another is started, and the batch made again
    RESULT_LOST = auto()  # the worker is there, its result is not: the batch is made again
    USER_ERROR = auto()  # the code that makes a batch raised, or its result cannot travel
    OUT_OF_ROOM = auto()  # the result found no room
    UNEXPECTED = auto()  # not to be met here; reported as it is


# By name, since releases of Ray differ in what they have. A class that is not here counts as its
# nearest base.
_NAMES = {
    # Of actors and hosts; with `AsyncioActorExit` the user's code has ended its actor.
    Kind.WORKER_LOST: """
        RayActorError ActorDiedError ActorUnavailableError ActorUnschedulableError ActorPlacementGroupRemoved
        WorkerCrashedError NodeDiedError LocalRayletDiedError OutOfMemoryError RuntimeEnvSetupError AsyncioActorExit
    """,
    # Of results on their way.
    Kind.RESULT_LOST: """
        ObjectLostError ObjectFetchTimedOutError ObjectFreedError ObjectReconstructionFailedError
        ObjectReconstructionFailedMaxAttemptsExceededError ObjectReconstructionFailedLineageEvictedError
        OwnerDiedError ReferenceCountingAssertionError PlasmaObjectNotAvailable GetTimeoutError RpcError
    """,
    # Of what the user gave.
    Kind.USER_ERROR: """
        RayTaskError UserCodeException UnserializableException CrossLanguageError
        OufOfBandObjectRefSerializationException
    """,
    Kind.OUT_OF_ROOM: "ObjectStoreFullError OutOfDiskError",
    # Of what raybatch does not do: named actors, placement groups, cancelling, streaming, compiled
    # graphs.
    Kind.UNEXPECTED: """
        RayError ActorAlreadyExistsError ActorHandleNotFoundError AuthenticationError ObjectRefStreamEndOfStreamError
        PendingCallsLimitExceeded RayCgraphCapacityExceeded RayChannelError RayChannelTimeoutError
        RayDirectTransportError RaySystemError StreamingGeneratorReplayInconsistentError TaskCancelledError
        TaskPlacementGroupRemoved TaskUnschedulableError
    """,
}
KINDS = {name: kind for kind, names in _NAMES.items() for name in names.split()}


def kind_of(error: BaseException) -> Kind:
    """Return what `error`, raised by `ray.get`, means.

    Where a worker passes on an exception of Ray's own, such as an argument that was lost, that one
    counts.
    """
    if isinstance(error, ray_errors.RayTaskError):
        cause = error.cause
        return kind_of(cause) if isinstance(cause, ray_errors.RayError) else Kind.USER_ERROR
    names = (base.__name__ for base in type(error).__mro__)
    return next((KINDS[name] for name in names if name in KINDS), Kind.UNEXPECTED)


def is_lost(ref: Any) -> bool:
    """Return whether there is no result of `ref`, wherever it lies."""
    ready, _ = ray.wait([ref], timeout=0, fetch_local=False)
    if not ready:
        return True
    try:
        ray.get(ref, timeout=0)
    except ray_errors.RayError as error:
        return kind_of(error) in (Kind.WORKER_LOST, Kind.RESULT_LOST)
    return False


def explained(kind: Kind, cause: BaseException) -> RemoteError | WorkerLostError:
    """Return the error that the consumer gets, whose cause is `cause`, of that `kind`."""
    error_class: type[RemoteError | WorkerLostError] = RemoteError
    what = "Ray failed"
    match kind:
        case Kind.WORKER_LOST | Kind.RESULT_LOST:
            error_class, what = WorkerLostError, "the actor, its host or its result was lost"
        case Kind.USER_ERROR if isinstance(cause, ray_errors.RayTaskError):
            cause = cause.cause
            what = "a worker could not send its result, or get what it was sent"
        case Kind.OUT_OF_ROOM:
            what = (
                "the batch found no room in Ray's object store; make smaller batches, or start Ray with a larger "
                "object_store_memory"
            )
    error = error_class(f"{what}: {cause}")
    error.__cause__ = cause
    return error
