"""Loggers that mirror a run: W&B, TensorBoard, CSV, MLflow."""
