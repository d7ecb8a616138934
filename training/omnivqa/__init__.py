"""OmniVQA in PyTorch: the reference network, its checkpoints, and the training of Nano."""
