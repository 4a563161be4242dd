"""The subdomain solves: local nets, each trained on its own tile."""
