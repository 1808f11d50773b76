"""What a worker runs: `make(source, request)` → result."""
