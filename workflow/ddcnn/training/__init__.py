"""How a net is trained: the loop, its steps and optimizers, checkpoints, and the device."""
