"""Recurrent layers and cells with the interface of `torch.nn.GRU`."""
