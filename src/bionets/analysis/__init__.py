"""What is read out of a trained model, and the figures of it."""
