"""Which frames are looked at, and how large: figures that transformers' processors of Qwen2-VL and Qwen3-VL gave for the same films."""

from types import SimpleNamespace

import pytest

from mlxd.worker.runtime.vision.families.film_settings import FilmSettings
from mlxd.worker.runtime.vision.families.qwen import Qwen2Family, Qwen3Family
from mlxd.worker.runtime.vision.film_sampling import FilmFacts, FrameWish, SizeRule, spread, stepped

SAMPLED = {  # frames, rate, fps, most: how many are looked at, the first and the last of them, by Qwen2-VL and by Qwen3-VL
    (2, 10, 2, 768): ((2, [0, 1], [0, 1]), (2, [0, 1], [0, 1])),
    (3, 10, 2, 768): ((2, [0, 1], [0, 1]), (3, [0, 1, 2], [1, 2])),
    (5, 30, 2, 768): ((4, [0, 1, 2, 3], [2, 3]), (4, [0, 1, 3, 4], [3, 4])),
    (7, 29.97, 24, 768): ((4, [0, 1, 3, 5], [3, 5]), (5, [0, 2, 3, 4], [4, 6])),
    (30, 10, 1, 1_000_000): ((4, [0, 7, 15, 22], [15, 22]), (4, [0, 10, 19, 29], [19, 29])),
    (100, 10, 5, 17): ((16, [0, 6, 12, 18], [87, 93]), (17, [0, 6, 12, 19], [93, 99])),
    (1227, 25, 2, 768): ((98, [0, 12, 25, 37], [1201, 1214]), (98, [0, 13, 25, 38], [1213, 1226])),
    (1227, 25, 0.1, 768): ((4, [0, 306, 613, 920], [613, 920]), (4, [0, 409, 817, 1226], [817, 1226])),
    (1227, 25, 60, 768): ((768, [0, 1, 3, 4], [1223, 1225]), (768, [0, 2, 3, 5], [1224, 1226])),
    (1227, 25, 2, 16): ((16, [0, 76, 153, 230], [1073, 1150]), (16, [0, 82, 163, 245], [1144, 1226])),
    (172_800, 24, 2, 768): ((768, [0, 225, 450, 675], [172_350, 172_575]), (768, [0, 225, 451, 676], [172_574, 172_799])),
}
FITTED = {  # height, width, factor, fewest, most
    (480, 640, 28, 3136, 1_003_520): (476, 644),
    (1080, 1920, 28, 100_352, 602_112): (560, 1008),
    (1, 1, 28, 3136, 1_003_520): (56, 56),
    (20, 3000, 28, 3136, 1_003_520): (28, 2996),
    (28, 28, 28, 3136, 12_845_056): (56, 56),
    (100, 37, 28, 3136, 1_003_520): (112, 28),
}
SHARED = {  # frames, height, width, factor, fewest, most
    (4, 480, 640, 32, 4096, 25_165_824): (480, 640),
    (64, 1080, 1920, 32, 4096, 25_165_824): (448, 832),
    (5, 16, 48, 8, 1024, 8192): (16, 48),
    (768, 720, 1280, 32, 4096, 25_165_824): (128, 224),
    (3, 20, 900, 32, 131_072, 786_432): (32, 1440),
    (2, 480, 640, 32, 131_072, 786_432): (480, 640),
}
CAPPED = {  # frames, height, width, fewest, most, tokens
    (Qwen2Family, 4, 1080, 1920, 3136, 12_845_056, 128_000): (1092, 1932),
    (Qwen2Family, 768, 720, 1280, 3136, 12_845_056, 128_000): (336, 644),
    (Qwen2Family, 64, 480, 640, 3136, 12_845_056, 4000): (252, 336),
    (Qwen3Family, 4, 1080, 1920, 4096, 25_165_824, 768): (640, 1152),
    (Qwen3Family, 64, 1080, 1920, 4096, 25_165_824, 768): (448, 832),
    (Qwen3Family, 768, 720, 1280, 4096, 25_165_824, 768): (128, 224),
    (Qwen3Family, 6, 480, 640, 4096, 25_165_824, 64): (192, 288),
}


@pytest.mark.parametrize("case", SAMPLED, ids=str)
def test_as_many_frames_as_transformers_looks_at(case):
    frames, rate, fps, most = case
    facts, wish = FilmFacts(frames, rate, 8, 8), FrameWish(fps, min(4, most), most, 2)
    assert tuple((len(found := choose(facts, wish)), found[:4], found[-2:]) for choose in (stepped, spread)) == SAMPLED[case]


@pytest.mark.parametrize("most", [1, 2, 3, 5])
@pytest.mark.parametrize("frames", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("choose", [stepped, spread])
def test_never_none_never_more_than_there_are_or_may_be(choose, frames, most):
    found = choose(FilmFacts(frames, 10.0, 8, 8), FrameWish(2.0, min(4, most), most, 2))
    assert 1 <= len(found) <= min(frames, most)
    assert found == sorted(set(found))
    assert 0 <= found[0] <= found[-1] < frames


@pytest.mark.parametrize("case", FITTED, ids=str)
def test_pictures_are_as_large_as_transformers_makes_them(case):
    assert SizeRule(*case[2:]).fit(*case[:2]) == FITTED[case]


@pytest.mark.parametrize("case", SHARED, ids=str)
def test_frames_that_share_pixels_are_too(case):
    frames, height, width, factor, fewest, most = case
    assert size_of(Qwen3Family, factor // 2, fewest, most)(frames, height, width) == SHARED[case]


@pytest.mark.parametrize("case", CAPPED, ids=str)
def test_and_those_that_are_capped(case):
    family, frames, height, width, fewest, most, tokens = case
    patch = 14 if family is Qwen2Family else 16
    size = size_of(family, patch, fewest, most, cap_pixels_per_frame=True, max_video_tokens=tokens)
    assert size(frames, height, width) == CAPPED[case]


def size_of(family, patch, fewest, most, **settings):
    films = settings | {"patch_size": patch, "size": {"shortest_edge": fewest, "longest_edge": most}}
    made = family.__new__(family)
    made._films = FilmSettings(SimpleNamespace(films=films), made.defaults)
    return made.size


def test_one_frame_has_the_pixels_of_two():
    size = size_of(Qwen3Family, 16, 4096, 786_432)
    assert size(1, 480, 640) == size(2, 480, 640)
