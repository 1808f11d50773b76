"""What other loaders call an argument, and what a `Loader` has in its place."""

from __future__ import annotations

# The names are those of PyTorch's DataLoader, of its samplers, and of other libraries.
INSTEAD = {
    "dataset": "the first argument is a source, such as rb.ImageFolder('train', size=224)",
    "data": "the first argument is a source, such as rb.ImageFolder('train', size=224)",
    "drop_last": 'give last_batch="drop"',
    "num_workers": "give workers=8 for eight Ray actors, or pool=rb.ThreadPool(8); without either,"
    " this process makes the batches",
    "persistent_workers": "leave it out; workers stay until the loader is closed",
    "prefetch_factor": "give prefetch=16, the number of batches made ahead by all workers together",
    "worker_init_fn": "leave it out; random numbers, also those of random, np.random and torch,"
    " belong to the sample, whichever worker reads it",
    "generator": "give shuffle=True, seed=7",
    "sampler": "the source has it, as in rb.ArrayDataSource(data, sampler=...)",
    "batch_sampler": "give the source a sampler, such as rb.GroupedSampler, and the loader a batch"
    " size",
    "collate_fn": 'give the source collate=, such as {"boxes": "list"}, or use source.map(fn)',
    "pin_memory": "use raybatch.adapters.torch.to_torch(loader, device='cuda'), which pins memory",
    "device": "use raybatch.adapters.torch.to_torch(loader, device='cuda')",
    "timeout": "give recovery=rb.Recovery(...), which says when a worker is stuck",
    "multiprocessing_context": "give a pool, such as pool=rb.RayActorPool(8)",
    "on_error": 'give bad_samples="skip" or "replace"',
    "transform": "rb.ImageFolder has it, and so have the accessors of images",
    "rank": "give split=(rank, world_size)",
    "world_size": "give split=(rank, world_size)",
    "num_replicas": "give split=(rank, world_size)",
    "epochs": "each loop over the loader is an epoch",
    "repeats": "each loop over the loader is an epoch; sources have repeats=",
}
