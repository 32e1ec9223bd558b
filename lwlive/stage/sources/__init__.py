"""Sources: what steers a show. Each is polled once a tick, and gives commands."""
