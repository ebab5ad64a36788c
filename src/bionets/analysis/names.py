"""Names of models, tasks and logged values as in papers, with units."""

import re

NAMES = {
    "nbrc": "nBRC",
    "brc": "BRC",
    "gru": "GRU",
    "lstm": "LSTM",
    "rnn": "RNN",
    "peephole_lstm": "peephole LSTM",
    "src": "SRC",
    "min_gru": "minGRU",
    "min_lstm": "minLSTM",
    "lru": "LRU",
    "cornn": "coRNN",
    "unicornn": "UnICORNN",
    "lem": "LEM",
    "lmu": "LMU",
    "stigmergic": "stigmergic memory",
    "feed_forward": "feed-forward",
    "spiking_conv": "spiking CNN",
    "spiking_recurrent": "spiking RNN",
    "stdp": "STDP",
    "bptt": "BPTT",
    "eprop": "e-prop",
    "reward_modulated": "reward-modulated STDP",
    "spatial_linear": "spatial MLP",
    "spatial_conv": "spatial CNN",
    "spatial_recurrent": "spatial RNN",
    "stack": "stack",
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "kmnist": "KMNIST",
    "qmnist": "QMNIST",
    "smnist": "sMNIST",
    "psmnist": "psMNIST",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "scifar10": "sCIFAR-10",
    "usps": "USPS",
    "n_mnist": "N-MNIST",
    "n_caltech101": "N-Caltech101",
    "n_cars": "N-Cars",
    "copy_first_input": "copy-first-input",
    "mackey_glass": "Mackey-Glass",
}

LABELS = {
    "step": "training step",
    "parameters": "number of parameters",
    "wall_time": "training time (s)",
    "train/loss": "training loss",
    "train/kept_mebibytes": "memory for the backward pass (MiB)",
    "test/nanojoules": "energy per sample (nJ)",
    "test/spikes_per_step": "spikes per neuron and time step",
    "val/bistable_share": "share of bistable units (a > 1)",
    "val/connection_length": "mean length of a connection",
}
SETS = {"train": "training", "val": "validation", "test": "test"}
METRICS = {
    "mse": "mean squared error",
    "smape": "sMAPE (%)",
    "return": "return (total reward)",
    "bit_accuracy": "accuracy of single bits",
}


def name_of(word: str) -> str:
    """The name in papers of a model, a task or another word of a config: nBRC for ``nbrc``, also within ``nbrc-online``
    or ``model = nbrc``. It is for figures: see `plain_text`.
    """
    return re.sub(r"\w+", lambda each: NAMES.get(each[0], each[0].replace("_", " ")), plain_text(word))


def plain_text(text: str) -> str:
    """A text for matplotlib, which would read what is between two dollar signs as a formula, and fail if it is none."""
    return text.replace("$", r"\$")


def label_of(key: str) -> str:
    """The axis label of a logged value: validation loss for ``val/loss``, energy in nJ for ``test/nanojoules``."""
    key, _, layer = key.partition("_layer_")
    if layer:
        return f"{label_of(key)}, layer {layer}"
    if key in LABELS:
        return LABELS[key]
    place, _, metric = key.rpartition("/")
    metric, _, length = metric.partition("_length_")
    words = METRICS.get(metric, name_of(metric))
    if metric.startswith("accuracy_") and metric != "accuracy_mean":
        words = f"accuracy on {name_of(metric.removeprefix('accuracy_'))}"
    if metric == "accuracy_mean":
        words = "accuracy, mean over lengths"
    where = SETS.get(place, name_of(place))
    return f"{where} {words}".strip() + (f" at length {length}" if length else "")
