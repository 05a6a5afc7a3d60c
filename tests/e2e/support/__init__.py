"""What the end-to-end tests share: the program under test, clients and upstreams that speak raw bytes."""
