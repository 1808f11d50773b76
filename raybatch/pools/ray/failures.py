"""Maps each exception of Ray to what it means for a batch, and to the error that the user gets."""

from __future__ import annotations

from enum import Enum, auto
from typing import Any

import ray
from ray import exceptions as ray_errors

from raybatch.errors import RemoteError, WorkerLostError


class Kind(Enum):
    """What failed, which decides what happens next."""

    WORKER_LOST = auto()  # worker or host is gone: start a new worker, make the batch again
    RESULT_LOST = auto()  # the worker is up, its result is gone: make the batch again
    USER_ERROR = auto()  # the user's code raised, or its result cannot be sent
    OUT_OF_ROOM = auto()  # the object store had no room for the result
    UNEXPECTED = auto()  # does not occur in raybatch's use of Ray; reported as it is


# By name, since releases of Ray have different classes. A class that is not here counts as its
# nearest base class.
_NAMES = {
    # Actors and hosts. `AsyncioActorExit` means that the user's code ended its actor.
    Kind.WORKER_LOST: (
        """
        RayActorError ActorDiedError ActorUnavailableError ActorUnschedulableError
        ActorPlacementGroupRemoved WorkerCrashedError NodeDiedError LocalRayletDiedError
        OutOfMemoryError RuntimeEnvSetupError AsyncioActorExit
    """
    ),
    # Results on their way to the driver.
    Kind.RESULT_LOST: (
        """
        ObjectLostError ObjectFetchTimedOutError ObjectFreedError ObjectReconstructionFailedError
        ObjectReconstructionFailedMaxAttemptsExceededError
        ObjectReconstructionFailedLineageEvictedError OwnerDiedError ReferenceCountingAssertionError
        PlasmaObjectNotAvailable GetTimeoutError RpcError
    """
    ),
    # The user's code and values.
    Kind.USER_ERROR: (
        """
        RayTaskError UserCodeException UnserializableException CrossLanguageError
        OufOfBandObjectRefSerializationException
    """
    ),
    Kind.OUT_OF_ROOM: "ObjectStoreFullError OutOfDiskError",
    # Features that batches do not use: named actors, placement groups, cancelling, streaming,
    # compiled graphs.
    Kind.UNEXPECTED: (
        """
        RayError ActorAlreadyExistsError ActorHandleNotFoundError AuthenticationError
        ObjectRefStreamEndOfStreamError PendingCallsLimitExceeded RayCgraphCapacityExceeded
        RayChannelError RayChannelTimeoutError RayDirectTransportError RaySystemError
        StreamingGeneratorReplayInconsistentError TaskCancelledError TaskPlacementGroupRemoved
        TaskUnschedulableError
    """
    ),
}
KINDS = {name: kind for kind, names in _NAMES.items() for name in names.split()}


def kind_of(error: BaseException) -> Kind:
    """Return the kind of `error`, which `ray.get` raised.

    If a worker passes on an exception of Ray, such as one about a lost argument, the kind is that
    of the inner exception.
    """
    if isinstance(error, ray_errors.RayTaskError):
        cause = error.cause
        return kind_of(cause) if isinstance(cause, ray_errors.RayError) else Kind.USER_ERROR
    names = (base.__name__ for base in type(error).__mro__)
    return next((KINDS[name] for name in names if name in KINDS), Kind.UNEXPECTED)


def is_lost(ref: Any) -> bool:
    """Return whether `ref` has no result, neither on this host nor on another."""
    ready, _ = ray.wait([ref], timeout=0, fetch_local=False)
    if not ready:
        return True
    try:
        ray.get(ref, timeout=0)
    except ray_errors.RayError as error:
        return kind_of(error) in (Kind.WORKER_LOST, Kind.RESULT_LOST)
    return False


def explained(kind: Kind, cause: BaseException) -> RemoteError | WorkerLostError:
    """Return the error that the consumer gets; `cause` is Ray's exception, and `kind` its kind."""
    error_class: type[RemoteError | WorkerLostError] = RemoteError
    what = "Ray failed"
    match kind:
        case Kind.WORKER_LOST | Kind.RESULT_LOST:
            error_class, what = WorkerLostError, "the actor, its host or its result was lost"
        case Kind.USER_ERROR if isinstance(cause, ray_errors.RayTaskError):
            cause = cause.cause
            what = "a worker could not send its result, or could not load what it was sent"
        case Kind.OUT_OF_ROOM:
            what = (
                "Ray's object store has no room for the batch; make smaller batches, or start Ray "
                "with a larger object_store_memory"
            )
    error = error_class(f"{what}: {cause}")
    error.__cause__ = cause
    return error
