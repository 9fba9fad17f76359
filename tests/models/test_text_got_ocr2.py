import threading

import pytest
import torch
from safetensors.torch import load_file, save_file

from benchmarks.checkpoints import build
from deepcompress_dagster.models.cancellation import cancel_when
from deepcompress_dagster.models.predictor import ModelError, PartialBatchError, ReadText
from deepcompress_dagster.models.shared.generation import LONGEST_PERIOD, RUNAWAY_TOKENS, repeats
from tests.taught_checkpoints import reader


def outcomes(predictor, pictures):
    try:
        return predictor.predict(pictures)
    except PartialBatchError as failure:
        return failure.outcomes


def test_lines_share_the_height_of_the_crop_and_have_a_confidence(load, pictures):
    for picture in pictures:
        (read,) = load("got_ocr2", max_new_tokens=24).predict([picture])
        height, width = picture.shape[:2]
        boxes = [line.bbox for line in read.lines]
        assert [box.y0 for box in boxes[1:]] == [box.y1 for box in boxes[:-1]]
        assert (boxes[0].y0, boxes[-1].y1) == (0, height)
        assert all((box.x0, box.x1) == (0, width) for box in boxes)
        assert all(0 < line.confidence < 1 for line in read.lines)


def test_the_confidence_is_the_mean_probability_that_the_model_gives_its_text(load, pictures):
    predictor = load("got_ocr2", max_new_tokens=5)
    (read,) = predictor.predict([pictures[0]])
    tokens = torch.tensor([predictor._prompt])
    pixels = predictor._preprocessing.fitted(pictures[0], "cpu")[None]
    likelihood = 0.0
    with torch.no_grad():
        for _ in range(5):
            logits = predictor._module(input_ids=tokens, pixel_values=pixels).logits[0, -1]
            best = logits.argmax()
            likelihood += float(logits.log_softmax(-1)[best]) / 5
            tokens = torch.cat([tokens, best[None, None]], 1)
    assert read.lines[0].confidence == pytest.approx(
        float(torch.tensor(likelihood).exp()), abs=1e-4
    )


def test_large_mode_asks_for_markup_and_the_others_do_not(load):
    def prompt(mode: str) -> str:
        predictor = load("got_ocr2", ocr_mode=mode)
        text: str = predictor._tokenizer.decode(predictor._prompt)
        return text

    assert "OCR with format:" in prompt("large")
    assert "OCR:" in prompt("base")
    assert prompt("base") == prompt("small")
    assert prompt("base").count("<imgpad>") == 4


def test_greedy_reading_repeats_itself_exactly_and_sampling_does_not(load, pictures):
    greedy = load("got_ocr2", max_new_tokens=24)
    assert outcomes(greedy, pictures[:2]) == outcomes(greedy, pictures[:2])
    torch.manual_seed(0)
    sampling = load("got_ocr2", max_new_tokens=24, temperature=1.5)
    assert outcomes(sampling, pictures[:2]) != outcomes(sampling, pictures[:2])


def test_a_penalty_on_repetition_changes_the_text(load, pictures):
    plain = load("got_ocr2", max_new_tokens=24)
    punished = load("got_ocr2", max_new_tokens=24, repetition_penalty=2.0)
    assert outcomes(plain, pictures[:1]) != outcomes(punished, pictures[:1])


@pytest.mark.parametrize("period", [1, 7, LONGEST_PERIOD])
def test_a_piece_that_comes_again_and_again_is_a_runaway(period):
    piece = list(range(period))
    assert repeats([5, 6] + piece * (RUNAWAY_TOKENS // period + 1))


def test_text_that_repeats_less_is_none():
    assert not repeats([1] * (RUNAWAY_TOKENS - 1))
    assert not repeats(list(range(RUNAWAY_TOKENS)))
    assert not repeats(list(range(LONGEST_PERIOD + 1)) * 8)
    assert not repeats([1] * (RUNAWAY_TOKENS - 1) + [2])


LAUGHTER = "ha" * RUNAWAY_TOKENS


@pytest.fixture(scope="module")
def laughing(tmp_path_factory, load, pictures):
    """A reader that reads one picture and laughs at another until it is stopped."""
    folder = tmp_path_factory.mktemp("laughing") / "laughing"
    reader(folder, pictures[:2], ["a letter", LAUGHTER])
    return load(folder, max_new_tokens=4 * RUNAWAY_TOKENS)


def test_a_runaway_costs_its_own_crop_and_names_the_model(laughing, pictures):
    read, wild, again = outcomes(laughing, [pictures[0], pictures[1], pictures[0]])
    assert read == again
    assert [line.text for line in read.lines] == ["a letter"]
    assert isinstance(wild, ModelError)
    assert str(wild).startswith("laughing@")
    assert "runaway repetition" in str(wild)


@pytest.mark.parametrize("size", range(2, 9))
def test_a_runaway_is_one_for_any_batch_size(laughing, pictures, size):
    batch = [pictures[i % 2] for i in range(size)]
    wild = [isinstance(outcome, ModelError) for outcome in outcomes(laughing, batch)]
    assert wild == [bool(i % 2) for i in range(size)]


def test_at_its_time_limit_a_batch_ends(load, pictures):
    slow = load("got_ocr2", max_new_tokens=4000, time_limit_s=0.01)
    for outcome in outcomes(slow, pictures[:2]):
        assert isinstance(outcome, ModelError)
        assert "its time limit" in str(outcome)


def test_a_cancelled_run_ends_the_batch(load, pictures):
    event = threading.Event()
    event.set()
    with cancel_when(event):
        found = outcomes(load("got_ocr2", max_new_tokens=4000), pictures[:2])
    assert all("cancelled" in str(outcome) for outcome in found)
    assert isinstance(outcomes(load("got_ocr2", max_new_tokens=4), pictures[:1])[0], ReadText)


def test_values_that_stop_being_numbers_for_one_crop_cost_that_crop(load, pictures):
    predictor = load("got_ocr2", max_new_tokens=6)
    steps = []

    def spoil_once(module, args, output):
        steps.append(1)
        if len(steps) == 2:
            output.logits[1] = float("nan")
        return output

    predictor._module.register_forward_hook(spoil_once)
    first, second = outcomes(predictor, pictures[:2])
    assert isinstance(first, ReadText)
    assert "not numbers" in str(second)


def test_values_that_are_not_numbers_are_an_error_that_names_the_model(tmp_path, load, pictures):
    folder = build("got_ocr2", tmp_path / "nan")
    tensors = load_file(folder / "model.safetensors")
    head = next(name for name in tensors if "lm_head" in name)
    tensors[head][3] = float("nan")
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    for temperature in (0.0, 1.0):
        predictor = load(folder, max_new_tokens=4, temperature=temperature)
        (outcome,) = outcomes(predictor, pictures[:1])
        assert isinstance(outcome, ModelError)
        assert str(outcome).startswith("nan@")
        assert "not numbers" in str(outcome)
