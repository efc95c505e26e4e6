"""What processors make of pictures and films: the tokens and pixels that transformers has for the same, and names for the cache."""

import json
from itertools import pairwise

import numpy as np
import pytest
from mlx_lm.utils import load_tokenizer
from msgspec.structs import replace
from PIL import Image

from mlxd.errors import ContextLengthError, InvalidRequestError
from mlxd.media_terms import Media, MediaKind
from mlxd.worker.runtime.vision.families import qwen
from mlxd.worker.runtime.vision.families.family import CannotSeeError
from mlxd.worker.runtime.vision.processing import open_processor
from tests.support.film_files import filmed
from tests.support.picture_files import saved, waves
from tests.support.vision_conversations import array, encoded, encoder_of, processor_of, prompt_of, seen_of, shown
from tests.support.vision_references import architectures, checkpoint, references, sampled

FILMED = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")
CASES = [(architecture, name) for architecture in architectures() for name in references(architecture)]


def picture(file=None, **fields):
    return Media(kind=MediaKind.IMAGE, files=[saved(waves(64, 48)) if file is None else file], **fields)


def film(*files, **fields):
    return Media(kind=MediaKind.VIDEO, files=list(files) or [filmed()], **fields)


def content(media, architecture="qwen2_vl"):
    return processor_of(architecture).process(media).input.content


# ---- as transformers has it ----


@pytest.mark.parametrize("architecture", architectures())
def test_tokens_are_those_of_transformers(architecture):
    for name, reference in references(architecture).items():
        assert encoded(reference, architecture).tokens == reference.tokens, name


@pytest.mark.parametrize("architecture", architectures())
def test_pixels_are_too(architecture):
    """Of cases with one picture, or one film: transformers makes one array of several, and pads it."""
    for name in ("picture", "other_picture", "late_picture", *(("video", "odd_video") if architecture in FILMED else ())):
        reference = references(architecture)[name]
        (only,) = encoded(reference, architecture).inputs
        for pixels in {"pixel_values", "pixel_values_videos"} & {*reference.shapes}:
            found = array(only.tensors[pixels])
            assert [*found.shape] == reference.shapes[pixels], name
            assert np.abs(sampled(found) - reference.arrays[pixels]).max() < 2e-6, name


@pytest.mark.parametrize("architecture", architectures())
def test_spans_are_where_embeddings_go_and_count_on(architecture):
    fillers = {*processor_of(architecture).fillers.values()}
    for name, reference in references(architecture).items():
        prompt = encoded(reference, architecture)
        seen = {at for span in prompt.media for at in range(span.start, span.stop)}
        assert seen == {at for at, token in enumerate(prompt.tokens) if token in fillers}, name
        if "features" in reference.arrays:
            assert len(seen) == len(reference.arrays["features"]), name
        for before, span in pairwise(prompt.media):
            assert span.first == (before.first + len(before) if span.content == before.content and span.first else 0), name
        counts = {one.content: one.count for one in prompt.inputs}
        assert all(span.first + len(span) <= counts[span.content] for span in prompt.media), name


@pytest.mark.parametrize("architecture", FILMED)
def test_grids_are_those_of_transformers(architecture):
    for name, reference in references(architecture).items():
        expected = {(kind, *grid) for kind, grids in reference.grids.items() if kind.endswith("grid_thw") for grid in grids}
        prompt = encoded(reference, architecture)
        tensors = [(kind, tensor) for one in prompt.inputs for kind, tensor in one.tensors.items() if kind.endswith("grid_thw")]
        assert {(kind, *array(tensor)[0]) for kind, tensor in tensors} == expected, name
        assert all(span.grid.times * span.grid.rows * span.grid.columns == len(span) for span in prompt.media), name


def test_seconds_of_a_film_are_positions():
    paces = {name: encoded(references("qwen2_5_vl")[name], "qwen2_5_vl").media[-1].grid.pace for name in ("video", "slow_video")}
    assert paces == {"video": 2.0, "slow_video": 4.0}  # two positions a second, two frames a layer
    assert {span.grid.pace for span in encoded(references("qwen2_vl")["slow_video"], "qwen2_vl").media} == {1.0}


def test_only_gemma_s_pictures_see_themselves():
    mutual = {
        architecture: {span.mutual for span in encoded(references(architecture)["picture"], architecture).media}
        for architecture in architectures()
    }
    assert {architecture for architecture, found in mutual.items() if True in found} == {"gemma3"}


# ---- names for the cache ----


@pytest.mark.parametrize("architecture", architectures())
def test_the_same_pixels_of_another_file_are_the_same_and_others_are_not(architecture):
    one = content(picture(), architecture)
    assert content(picture(saved(waves(64, 48), "BMP"), at=7, param="elsewhere"), architecture) == one
    assert content(picture(saved(waves(64, 48, shift=1))), architecture) != one
    assert content(picture(saved(waves(48, 64))), architecture) != one


def test_a_film_is_named_by_how_it_is_looked_at_too():
    file = filmed(size=(96, 64))
    contents = [content(film(file, **asked)) for asked in ({}, {"fps": 1.0}, {"fps": 2.0}, {"max_frames": 6}, {"max_frames": 4})]
    assert len({*contents}) == 5
    assert content(film(filmed("matroska", size=(96, 64)), fps=1.0)) == contents[1]


def test_a_still_film_at_another_rate_is_another():
    frames = [saved(waves(32, 32))] * 4
    assert len({content(film(*frames, fps=fps)) for fps in (None, 1.0, 2.0)}) == 3
    assert processor_of("qwen2_vl").process(film(*frames)).input.kind is MediaKind.VIDEO
    assert processor_of("qwen2_vl").process(picture()).input.kind is MediaKind.IMAGE


# ---- what is looked at ----


def test_little_detail_is_fewer_tokens_where_a_processor_has_a_limit(tmp_path):
    processor = with_settings(tmp_path, "qwen2_vl", max_pixels=2**20)
    large = saved(waves(1024, 768))
    counts = {detail: processor.process(picture(large, detail=detail)).input.count for detail in ("auto", "low", "high")}
    assert counts["auto"] == counts["high"] == 1024 * 768 // 64
    assert counts["low"] <= 512 * 512 // 64
    assert content(picture(detail="low"), "idefics3") == content(picture(detail="high"), "idefics3")


def with_settings(directory, architecture, **settings):
    """A processor that is the tiny model's but for some settings."""
    source = checkpoint(architecture)
    for path in source.glob("*.json"):
        (directory / path.name).write_bytes(path.read_bytes())
    path = directory / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))
    return open_processor(directory, vocabulary_of(architecture), 100_000)


@pytest.mark.parametrize("size", [(1, 1), (31, 77), (400, 300), (40, 8), (200, 1), (3, 590)])
@pytest.mark.parametrize("architecture", [*FILMED, "llava", "gemma3"])
def test_a_picture_is_made_smaller_as_its_processor_would(architecture, size):
    """Its processor gets it as large as it wants it, and would have made the same of the whole."""
    whole = waves(*size)
    family = processor_of(architecture)._family
    processor = family._pictures if architecture in FILMED else family.pictures
    own = processor._processor(images=[whole], return_tensors="np")
    made = processor_of(architecture).process(picture(saved(whole))).input.tensors
    for name in made:
        assert np.array_equal(array(made[name]), own[name])


def test_gemma_looks_at_details_where_the_model_asks_for_it(tmp_path):
    asked = {
        "do_pan_and_scan": True,
        "pan_and_scan_min_crop_size": 16,
        "pan_and_scan_max_num_crops": 4,
        "pan_and_scan_min_ratio_to_activate": 1.2,
    }
    processor = with_settings(tmp_path, "gemma3", **asked)
    seen = processor.process(picture(saved(waves(120, 40))))
    assert [(span.first, len(span), span.mutual) for span in seen.spans] == [(16 * at, 16, True) for at in range(4)]
    assert seen.text.startswith("Here is the original image \n\n<start_of_image><image_soft_token><end_of_image>")
    assert seen.input.tensors["pixel_values"].shape[0] == 4


@pytest.mark.parametrize("architecture", FILMED)
def test_films_of_one_file(architecture):
    seen = processor_of(architecture).process(film(filmed(frames=30, size=(48, 16)), fps=2.0))
    assert array(seen.input.tensors["video_grid_thw"])[0, 0] == 3  # three seconds, two frames a second, two a layer
    if architecture == "qwen3_vl":
        assert [piece.split(" seconds>")[0] for piece in seen.text.split("<")[1:] if "seconds" in piece] == ["0.3", "1.4", "2.6"]


@pytest.mark.parametrize("architecture", FILMED)
@pytest.mark.parametrize("frames", [1, 2, 3])
def test_the_shortest_films(architecture, frames):
    seen = processor_of(architecture).process(film(filmed(frames=frames, size=(48, 16))))
    assert array(seen.input.tensors["video_grid_thw"])[0, 0] == (2 if frames == 3 and architecture == "qwen3_vl" else 1)


@pytest.mark.parametrize(("fps", "layers"), [(0.1, 2), (1.0, 2), (4.0, 6), (60.0, 15)])
def test_as_many_frames_as_are_wished_for(fps, layers):
    seen = processor_of("qwen2_vl").process(film(filmed(frames=30, size=(16, 16)), fps=fps))
    assert array(seen.input.tensors["video_grid_thw"])[0, 0] == layers
    few = processor_of("qwen2_vl").process(film(filmed(frames=30, size=(16, 16)), fps=fps, max_frames=2))
    assert array(few.input.tensors["video_grid_thw"])[0, 0] == 1


@pytest.mark.parametrize(
    ("media", "said"),
    [
        (film(fps=0.0), "fps has to be above 0"),
        (film(fps=float("inf")), "fps has to be above 0"),
        (film(max_frames=0), "max_frames has to be at least 1"),
        (film(saved(waves())), "this is a PNG picture, which cannot be looked at as a film"),
        (film(*[saved(waves())] * 3, max_frames=2), "3 frames are more than the 2 that are looked at"),
        (film(saved(waves()), saved(waves(41, 24))), "frame 1 of this film is 41 x 24, and the first 40 x 24"),
        (film(saved(waves()), b"GIF89a"), "this GIF picture is damaged"),
        (replace(film(), files=[]), "this film has no frames"),
        (replace(picture(), files=[b"a", b"b"]), "a picture is one file, and not 2"),
        (picture(max_pixels=100), "64 x 48 is more than the 100 pixels"),
        (film(max_pixels=100), "64 x 48 is more than the 100 pixels"),
    ],
)
def test_what_cannot_be_seen_is_refused_by_name(media, said):
    with pytest.raises(InvalidRequestError, match=said) as error:
        processor_of("qwen2_vl").process(replace(media, param="part"))
    assert error.value.param == "part"


def test_a_film_beyond_the_context_is_refused_before_it_is_decoded():
    tokens = open_processor(checkpoint("qwen2_vl"), vocabulary_of("qwen2_vl"), 30)
    with pytest.raises(ContextLengthError, match="6 frames of this film become 36 tokens, but the model's context holds 30"):
        tokens.process(film(filmed(size=(48, 16)), param="part"))


def test_so_is_one_of_too_many_pixels(tmp_path, monkeypatch):
    monkeypatch.setattr(qwen, "_MOST_PIXELS", 100_000)
    processor = with_settings(tmp_path, "qwen2_vl", max_pixels=10**9)
    assert processor.process(film(filmed(frames=20, size=(64, 64)), fps=10.0)).input.count > 0
    with pytest.raises(InvalidRequestError, match="26 frames of 64 x 64 are more than the 100000 pixels of a film"):
        processor.process(film(filmed(frames=26, size=(64, 64)), fps=10.0))


@pytest.mark.parametrize("architecture", ["qwen3_vl", "pixtral", "gemma3", "smolvlm"])
def test_settings_in_one_file_are_read_as_those_in_several(architecture, tmp_path):
    """As transformers saves them since its version 5."""
    source, told = checkpoint(architecture), {}
    for name, place in (("preprocessor_config", "image_processor"), ("video_preprocessor_config", "video_processor")):
        if (source / f"{name}.json").exists():
            told[place] = json.loads((source / f"{name}.json").read_text())
    if (source / "processor_config.json").exists():
        told |= json.loads((source / "processor_config.json").read_text())
    for name in ("config.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((source / name).read_bytes())
    (tmp_path / "processor_config.json").write_text(json.dumps(told | {"processor_class": told["image_processor"]["processor_class"]}))
    saved_anew = open_processor(tmp_path, vocabulary_of(architecture), 4096)
    for media in (picture(), *([film(filmed(size=(48, 16)))] if architecture in FILMED else [])):
        assert saved_anew.process(media).input.content == content(media, architecture)


def vocabulary_of(architecture):
    return load_tokenizer(checkpoint(architecture)).get_vocab()


@pytest.mark.parametrize("architecture", [name for name in architectures() if name not in FILMED])
def test_who_sees_no_films_says_so(architecture):
    assert encoder_of(architecture).sees == {MediaKind.IMAGE}
    with pytest.raises(InvalidRequestError, match="sees no films"):
        processor_of(architecture).process(film())


@pytest.mark.parametrize("architecture", architectures())
@pytest.mark.parametrize("size", [(1, 1), (1, 150), (150, 1), (7, 1200)])
def test_pictures_of_odd_sizes(architecture, size):
    odd = picture(saved(Image.new("RGB", size, (9, 9, 200))))
    if architecture in {"pixtral", "mistral3"} and size != (1, 1):  # whose processors make nothing of the shorter side
        with pytest.raises(InvalidRequestError, match=f"the model's processor refuses a picture of {size[0]} x {size[1]}"):
            processor_of(architecture).process(odd)
        return
    seen = processor_of(architecture).process(odd)
    assert sum(map(len, seen.spans)) == seen.input.count > 0


# ---- which processors are used ----


def test_a_processor_that_is_not_known_or_not_there_is_refused_with_a_reason(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "qwen2_vl"}')
    vocabulary = {"<|image_pad|>": 1, "<|video_pad|>": 2}
    with pytest.raises(CannotSeeError, match="its processor of pictures cannot be used"):
        open_processor(tmp_path, vocabulary, 100)
    with pytest.raises(CannotSeeError, match="its vocabulary has no token"):
        open_processor(tmp_path, {}, 100)
    (tmp_path / "config.json").write_text('{"model_type": "kimi_vl"}')
    with pytest.raises(CannotSeeError, match="kimi_vl"):
        open_processor(tmp_path, vocabulary, 100)


def test_code_that_comes_with_a_model_is_not_run(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "qwen2_vl"}')
    (tmp_path / "preprocessor_config.json").write_text(
        '{"auto_map": {"AutoImageProcessor": "evil.Processor"}, "image_processor_type": "Evil"}'
    )
    (tmp_path / "evil.py").write_text("raise SystemExit('it ran')")
    with pytest.raises(CannotSeeError, match="cannot be used"):
        open_processor(tmp_path, {"<|image_pad|>": 1, "<|video_pad|>": 2}, 100)


def test_a_setting_that_is_none_is_a_reason(tmp_path):
    with pytest.raises(CannotSeeError, match="settings cannot be read"):
        with_settings(tmp_path, "qwen2_vl", temporal_patch_size="two")


def test_nothing_is_processed_twice_that_is_shown_twice():
    prompt = prompt_of(references("qwen2_vl")["turns"])
    twice = replace(prompt, messages=[*prompt.messages, replace(prompt.messages[1], content="again")])
    made = encoder_of("qwen2_vl").encode(twice, None, seen_of(twice, processor_of("qwen2_vl")))
    assert len(made.media) == 3
    assert len(made.inputs) == 2
    assert shown({"type": "image", "picture": "red"}).kind is MediaKind.IMAGE
