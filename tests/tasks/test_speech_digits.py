"""Spoken digits from small files in the format of the data set."""

import math
import wave
from pathlib import Path

import numpy as np
import pytest
import torch

from bionets.tasks import SpeechDigits
from bionets.tasks.speech_digits import FOLDER, RATE, log_mel, mel_filters, read_wave
from tests.tasks import spoken_digits
from tests.tasks.spoken_digits import write_tone


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    spoken_digits.write(root)
    return root


def test_the_splits_are_the_official_ones(data_dir: Path) -> None:
    task = SpeechDigits(data_dir, steps=30)
    assert (task.train_size, task.val_size, task.test_size) == (27, 3, 30)
    names = [{file.name for file in task._files[split]} for split in ("train", "val", "test")]
    assert len(set.union(*names)) == 60
    assert all(int(name[-5]) < 5 for name in names[2])
    assert all(int(name[-5]) >= 5 for name in names[0] | names[1])
    other = SpeechDigits(data_dir, steps=30, seed=3)
    assert other._files == task._files


def test_the_validation_set_is_random_and_does_not_depend_on_the_file_system(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = SpeechDigits(data_dir)._files
    assert sorted(files["val"]) != sorted(files["val"] + files["train"])[:3]
    glob = Path.glob
    monkeypatch.setattr(Path, "glob", lambda *arguments: reversed(list(glob(*arguments))))
    assert SpeechDigits(data_dir)._files == files


def test_held_out_speakers_are_only_in_the_test_set(data_dir: Path) -> None:
    task = SpeechDigits(data_dir, held_out=["lucas"])
    assert {file.name.split("_")[1] for file in task._files["test"]} == {"lucas"}
    assert all("lucas" not in file.name for split in ("train", "val") for file in task._files[split])


def test_frames_are_standardised_cut_and_padded(data_dir: Path) -> None:
    task = SpeechDigits(data_dir, steps=15, bands=20)
    x, y = task.train_data(0)
    assert x.shape == (15, 27, 20)
    assert set(y.tolist()) == {0, 1}
    padded = SpeechDigits(data_dir, steps=60, bands=20).train_data(0)[0]
    torch.testing.assert_close(padded[:15], x)
    assert padded[-1].abs().max() == 0


def test_every_set_is_standardised_by_the_training_set(data_dir: Path) -> None:
    task = SpeechDigits(data_dir, bands=20, lengths=True)
    spectra = {name: [log_mel(read_wave(file), 20) for file in files] for name, files in task._files.items()}
    frames = torch.cat(spectra["train"])
    for name in ("train", "val", "test"):
        x, _, lengths = task.part(name)
        assert lengths.tolist() == list(map(len, spectra[name]))
        for n, spectrum in enumerate(spectra[name]):
            torch.testing.assert_close(x[: len(spectrum), n], (spectrum - frames.mean(0)) / frames.std(0))


def test_a_tone_is_loudest_in_its_band() -> None:
    filters = mel_filters(20)
    for frequency in (400.0, 1000.0, 2500.0):
        samples = torch.sin(2 * math.pi * frequency * torch.arange(RATE) / RATE)
        spectrum = log_mel(samples, 20)
        assert spectrum.shape == (98, 20)
        band = int(spectrum.mean(0).argmax())
        assert filters[round(frequency / (RATE / 200)), band] > 0


def test_the_log_mel_spectrum_equals_its_definition() -> None:
    """Frames of 25 ms every 10 ms, power of a Hann window, triangles between corners that are equally far in mel."""
    generator = np.random.default_rng(0)
    samples = generator.normal(size=1000).astype(np.float32)
    mel = np.linspace(*(1127.01 * np.log(1 + np.array([50, 4000]) / 700)), 22)
    corners = 700 * (np.exp(mel / 1127.01) - 1)
    frequencies = np.arange(101) * 40.0
    filters = np.stack([np.interp(frequencies, corners[k : k + 3], [0, 1, 0]) for k in range(20)], 1)
    np.testing.assert_allclose(mel_filters(20), filters, atol=1e-4)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(200) / 200)
    frames = np.stack([samples[80 * k : 80 * k + 200] for k in range(11)])
    power = np.abs(np.fft.rfft(frames * window)) ** 2
    expected = np.log(power @ filters + 1e-6)
    np.testing.assert_allclose(log_mel(torch.from_numpy(samples), 20), expected, rtol=1e-3, atol=1e-3)


def test_samples_lie_between_minus_one_and_one(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(np.array([16384, -32768, 0], "<i2").tobytes())
    assert read_wave(tmp_path / "a.wav").tolist() == [0.5, -1, 0]


@pytest.mark.parametrize("content", [b"", b"RIFF", b"RIFF\x24\x00\x00\x00WAVEfmt "])
def test_a_damaged_file_is_refused_by_name(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "0_george_0.wav"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"0_george_0\.wav is damaged"):
        read_wave(file)
    write_tone(file, 300, 0.1, rate=16000)
    with pytest.raises(ValueError, match="8000 Hz"):
        read_wave(file)


@pytest.mark.parametrize("kept", [0.5, 0.9])
def test_a_truncated_recording_is_refused(kept: float, tmp_path: Path) -> None:
    file = tmp_path / "0_george_0.wav"
    write_tone(file, 300, 0.1)
    content = file.read_bytes()
    file.write_bytes(content[: 2 * int(kept * len(content) / 2)])
    with pytest.raises(ValueError, match=r"0_george_0\.wav is damaged \(it is truncated\): download it again"):
        read_wave(file)


def test_held_out_speakers_must_leave_recordings_for_training_and_test(data_dir: Path) -> None:
    with pytest.raises(ValueError, match=r"task\.held_out leaves no recordings for training"):
        SpeechDigits(data_dir, held_out=["george", "jackson", "lucas"])
    with pytest.raises(ValueError, match=r"task\.held_out: .* holds no recordings of theo"):
        SpeechDigits(data_dir, held_out=["theo"])


def test_missing_data_and_unknown_speakers_are_refused(tmp_path: Path, data_dir: Path) -> None:
    with pytest.raises(ValueError, match="holds no recordings"):
        SpeechDigits(tmp_path)
    with pytest.raises(ValueError, match="alice is not a speaker"):
        SpeechDigits(data_dir, held_out=["alice"])


def test_each_recording_has_its_length(data_dir: Path) -> None:
    task = SpeechDigits(data_dir, steps=24, bands=20, lengths=True)
    assert task.spec.lengths
    x, y, lengths = task.train_data(0)
    plain = SpeechDigits(data_dir, steps=24, bands=20).train_data(0)
    assert torch.equal(x, plain[0])
    assert torch.equal(y, plain[1])
    assert 1 <= int(lengths.min()) < int(lengths.max()) == 24
    for n, length in enumerate(lengths.tolist()):
        assert bool(x[:length, n].any(1).all())
        assert not x[length:, n].any()


def test_a_band_without_a_frequency_is_zero(data_dir: Path) -> None:
    task = SpeechDigits(data_dir, steps=15, bands=128)
    empty = mel_filters(128).sum(0) == 0
    assert empty.any()
    for x, _ in (task.train_data(0), task.val_data(), task.test_data("test")):
        assert not x[..., empty].any()


def test_other_files_beside_the_recordings_are_not_read(tmp_path: Path) -> None:
    spoken_digits.write(tmp_path)
    expected = SpeechDigits(tmp_path).train_size
    for name in ("._0_george_0.wav", "notes_of_george.wav", "0_george_again_1.wav", "0_george_1a.wav"):
        (tmp_path / FOLDER / name).write_bytes(b"")
    assert SpeechDigits(tmp_path).train_size == expected
