"""Ray actors as workers: the one folder of the package, adapters apart, that imports ray.

    pool ─► crew (actors that start, are up, leave, are replaced) ─► roster (its own, or one shared by name: keeper)
      └► session (placement says which actor) ─► actor ─► worker: make(source, request)

`hosts.py` knows the hosts of the cluster, and `failures.py` what each of Ray's errors means.
"""
