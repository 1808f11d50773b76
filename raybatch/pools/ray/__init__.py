"""Ray actors as workers. Only this folder and the adapters import ray.

    pool ─► crew: starts, watches and replaces actors ─► roster: the list of actors, the pool's own
     │                                                          or shared by name (keeper)
     └────► session: submits to an actor ─► worker: runs make(source, request) in the actor

`hosts.py` asks Ray about the hosts of the cluster. `failures.py` maps Ray's errors to what they
mean.
"""
